"""The Responses API in front of Anthropic's Messages. Loaded by the first such call: most workers never see one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from gateway.core.call import Call
from gateway.core.outcome import ErrorBody
from gateway.wire.openai_anthropic.response import write_error
from gateway.wire.responses_anthropic.counting import read_count, write_count
from gateway.wire.responses_anthropic.reader import ResponseReader
from gateway.wire.responses_anthropic.request import write_request
from gateway.wire.responses_anthropic.response import read_answer


class ResponsesTranslation(msgspec.Struct, frozen=True):
    """Fits `base.Translation`."""

    is_count: bool = False
    """Only how many tokens the input has is asked for."""

    def write_request(self, fields: dict[str, Any], model: str, *, is_stream: bool) -> bytes:
        return write_count(fields, model) if self.is_count else write_request(fields, model, is_stream=is_stream)

    def read_answer(self, body: bytes, *, created: int, asked: bytes) -> bytes | None:
        return read_count(body) if self.is_count else read_answer(body, created=created, asked=asked)

    def read_stream(self, call: Call, *, created: int, asked: bytes) -> ResponseReader:
        return ResponseReader(call.endpoint, created=created, asked=asked)

    def write_error(self, error: ErrorBody, *, status: int) -> bytes:
        return write_error(error, status=status)


TRANSLATIONS: Final[Mapping[str, ResponsesTranslation]] = MappingProxyType(
    {"responses.create": ResponsesTranslation(), "responses.input_tokens": ResponsesTranslation(is_count=True)}
)
"""By the name of the endpoint."""
