"""The Responses API in front of Anthropic's Messages. Loaded by the first such call: most workers never see one."""

from typing import Any, Final

from gateway.core.call import Call
from gateway.core.outcome import ErrorBody
from gateway.wire.openai_anthropic.response import write_error
from gateway.wire.responses_anthropic.reader import ResponseReader
from gateway.wire.responses_anthropic.request import write_request
from gateway.wire.responses_anthropic.response import read_answer


class ResponsesTranslation:
    """Fits `base.Translation`."""

    def write_request(self, fields: dict[str, Any], model: str, *, is_stream: bool) -> bytes:
        return write_request(fields, model, is_stream=is_stream)

    def read_answer(self, body: bytes, *, created: int, asked: bytes) -> bytes | None:
        return read_answer(body, created=created, asked=asked)

    def read_stream(self, call: Call, *, created: int, asked: bytes) -> ResponseReader:
        return ResponseReader(call.endpoint, created=created, asked=asked)

    def write_error(self, error: ErrorBody, *, status: int) -> bytes:
        return write_error(error, status=status)


RESPONSES: Final = ResponsesTranslation()
