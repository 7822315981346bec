"""JSON bodies: what the gateway must know of one, and the two changes it makes to one, all other bytes kept.

A body is decoded once. The fields serve the checks and die with the function that asked for them: what travels is the
caller's bytes. Changes are made in these bytes, never by encoding anew, so that key order, whitespace, duplicate keys,
large integers, `1.0` and escapes reach the upstream as they were written (prompt caches count on it).
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.core.call import Endpoint, ModelUse, StreamKind
from gateway.core.errors import InvalidCall
from gateway.core.ids import ModelName
from gateway.wire.acting import acts
from gateway.wire.estimate import charged_tokens
from gateway.wire.lenient import decode_leniently
from gateway.wire.members import only_model, read_members
from gateway.wire.multipart import Form
from gateway.wire.places import Place, form_fields, models_at
from gateway.wire.refusals import kind_of, missing_model, two_models, wrong_type

_NO_MODEL: Final = ModelUse.NONE  # bound: Python 3.11 takes as long to find a member as to call a function
_NO_STREAM: Final = StreamKind.NONE
_RESPONSES: Final = StreamKind.RESPONSES
_EVENTS: Final = StreamKind.EVENTS
_ESCAPED_LETTER: Final = re.compile(rb"\\u00")
_PROMPT_MEMBER: Final = re.compile(rb'"(?:messages|prompt|input|instructions)"[ \t\n\r]*+:')
_PREFIX_BYTES: Final = 1024
"""Of a prompt: about the 256 tokens by whose hash OpenAI itself routes to its caches."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What a JSON body says about its call."""

    fields: dict[str, Any] = {}
    """The decoded body, for `wire/validation` only; of duplicate keys the last one, as every upstream reads it."""
    model: ModelName | None = None
    """None when the body names none (absent or null)."""
    other_models: tuple[ModelName, ...] = ()
    """Those that it names besides (`Endpoint.model_places`)."""
    is_stream: bool = False
    is_acting: bool = False
    """A response that does more than answer: see `wire/acting`."""
    asks_usage: bool = False
    affinity: str | None = None
    estimated_tokens: int = 0


class _Peek(msgspec.Struct, gc=False):
    """The members of a body that matter where nothing else of it is known."""

    model: Any = None


def read_envelope(body: bytes, endpoint: Endpoint) -> Envelope:
    """Decodes `body`. Raises `InvalidCall` for what is no JSON object, and for a `model` or `stream` of a wrong type.

    A missing `model` is no error here: the provider may have a default. Without one it is `refusals.missing_model()`.
    Where the API needs no model it needs no body either.
    """
    if not body and endpoint.model is not ModelUse.REQUIRED:
        return Envelope()
    fields = _decode(body)
    is_stream = fields.get("stream")
    if is_stream is not None and not isinstance(is_stream, bool) and endpoint.stream is not StreamKind.NONE:
        raise wrong_type("stream", "a boolean", is_stream)
    if endpoint.model_places:
        return _of_places(fields, endpoint.model_places, fields, characters=len(body))
    options = fields.get("stream_options")
    return Envelope(
        fields=fields,
        model=_read_model(fields.get("model"), is_known=endpoint.model is not _NO_MODEL),
        is_stream=_is_stream(fields, endpoint, is_stream=is_stream is True),
        is_acting=endpoint.stream is _RESPONSES and acts(fields),
        asks_usage=isinstance(options, dict) and options.get("include_usage") is True,
        affinity=_text(fields.get("prompt_cache_key")) or _text(fields.get("user")),
        estimated_tokens=charged_tokens(body, fields),
    )


def peek_envelope(body: bytes) -> Envelope:
    """What a JSON body says about a call that the table does not know. Never raises: its upstream judges it."""
    try:
        model = msgspec.json.decode(body, type=_Peek).model
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        model = peek_fields(body).get("model")
    return Envelope(model=ModelName(model) if isinstance(model, str) and model.strip() else None)


def form_envelope(form: Form, endpoint: Endpoint) -> Envelope:
    """What a form says about its call. `fields` are its texts; of a name that ends in `[]` all, of any other the last.

    Raises `InvalidCall` for an empty `model` where one is needed, and for two that differ.
    """
    fields: dict[str, Any] = {}
    for part in form.parts:
        if part.value is None:
            continue
        text = part.value.decode("utf-8", "replace")
        if part.name == "model" and fields.get("model", text) != text:
            raise two_models("form")
        if part.name.endswith("[]"):
            fields.setdefault(part.name, []).append(text)
        else:
            fields[part.name] = text
    if endpoint.model_places:
        return _of_places(form_fields(form, endpoint.model_places), endpoint.model_places, fields)
    is_stream = str(fields.get("stream")).strip().lower() in {"true", "1"}
    return Envelope(
        fields=fields,
        model=_read_model(fields.get("model"), is_known=endpoint.model is ModelUse.REQUIRED),
        is_stream=_is_stream(fields, endpoint, is_stream=is_stream),
        affinity=_text(fields.get("user")),
    )


def _of_places(
    named: Mapping[str, Any], places: Sequence[Place], fields: dict[str, Any], *, characters: int = 0
) -> Envelope:
    model, *others = models_at(named, places) or (None,)
    return Envelope(
        fields=fields,
        model=model,
        other_models=tuple(other for other in others if other is not None),
        estimated_tokens=characters // 4,
    )


def peek_fields(body: bytes) -> dict[str, Any]:
    """The members of what any server may take for a JSON object; none of anything else. Never raises.

    Python's own decoder takes more than the standard: `NaN`, a byte order mark.
    """
    try:
        fields = decode_leniently(body) if body else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            fields = json.loads(body, strict=False)
        except (ValueError, RecursionError):
            return {}
    return {"": fields} if isinstance(fields, list) else fields if isinstance(fields, dict) else {}


def _is_stream(fields: dict[str, Any], endpoint: Endpoint, *, is_stream: bool) -> bool:
    kind = endpoint.stream
    if kind is _NO_STREAM:
        return False
    return is_stream or (kind is _EVENTS and fields.get("stream_format") == "sse")


def prompt_prefix(body: bytes) -> str | None:
    """The first kilobyte of the prompt as it was written, for a hash; None where the body has none.

    A shorter prompt brings along what follows it. What else has the name of a prompt's member, in an odd body, is taken
    for it: calls then go elsewhere, and are answered all the same.
    """
    found = _PROMPT_MEMBER.search(body)
    return None if found is None else body[found.end() : found.end() + _PREFIX_BYTES].decode("latin-1")


def replace_model(body: bytes, old: ModelName | None, new: ModelName) -> bytes:
    """`body` with `new` as its model: `body` itself when that is there already; a member is added where there is none.

    `old` is what `read_envelope` said. Every `model` member of the outermost object is replaced, and nothing else.
    """
    value = msgspec.json.encode(new)
    span = None if old is None else only_model(body)
    if span is not None:
        start, end = span
        return body if body[start:end] == value else body[:start] + value + body[end:]
    return _replace_members(body, "model", value)


def ask_for_usage(body: bytes) -> bytes:
    """`body` with `stream_options.include_usage` true. `stream_options` that are no object are left to the upstream."""
    if b'"stream_options"' not in body and _ESCAPED_LETTER.search(body) is None:
        return _with_member(body, b'"stream_options":{"include_usage":true}')
    members = read_members(body)
    options = [member for member in members if member.key == "stream_options"]
    if not options:
        return _with_member(body, b'"stream_options":{"include_usage":true}')
    for member in reversed(options):
        value = body[member.start : member.end]
        body = body[: member.start] + _with_usage(value) + body[member.end :]
    return body


def _with_usage(options: bytes) -> bytes:
    if options == b"null":
        return b'{"include_usage":true}'
    if not options.startswith(b"{"):
        return options
    return _replace_members(options, "include_usage", b"true")


def _replace_members(body: bytes, key: str, value: bytes) -> bytes:
    """The object with `value` in each member named `key`, or with such a member added at its end."""
    members = read_members(body)
    places = [member for member in members if member.key == key]
    if not places:
        return _with_member(body, b'"' + key.encode() + b'":' + value)
    for member in reversed(places):
        body = body[: member.start] + value + body[member.end :]
    return body


def _with_member(body: bytes, member: bytes) -> bytes:
    """The object with one more member at its end: the last brace of a JSON object closes it."""
    close = body.rindex(b"}")
    is_empty = body[:close].rstrip().endswith(b"{")
    return body[:close] + (member if is_empty else b"," + member) + body[close:]


def _decode(body: bytes) -> dict[str, Any]:
    if not body or body.isspace():
        raise InvalidCall("The request has no body: a JSON object is expected.", code="invalid_json")
    try:
        fields = decode_leniently(body)
    except UnicodeDecodeError as error:
        raise InvalidCall("The body is not valid JSON: a text in it is not UTF-8.", code="invalid_json") from error
    except RecursionError as error:
        raise InvalidCall("The body is nested too deeply.", code="invalid_json") from error
    except msgspec.DecodeError as error:
        raise InvalidCall(_what_is_wrong(body, error), code="invalid_json") from error
    if not isinstance(fields, dict):
        raise InvalidCall(f"The body must be a JSON object, but it is {kind_of(fields)}.", code="invalid_json")
    return fields


def _what_is_wrong(body: bytes, error: msgspec.DecodeError) -> str:
    if body.startswith(b"\xef\xbb\xbf"):
        return "The body is not valid JSON: it begins with a byte order mark; send UTF-8 without one."
    reason = str(error).removeprefix("JSON is malformed: ")  # places and kinds, never the caller's text
    return f"The body is not valid JSON: {reason[:1].lower()}{reason[1:]}."


def _read_model(model: object, *, is_known: bool) -> ModelName | None:
    """`is_known`: the endpoint takes a model, so that what is none is refused."""
    if model is None or not (is_known or (isinstance(model, str) and model.strip())):
        return None
    if not isinstance(model, str):
        raise wrong_type("model", "a string", model)
    if not model.strip():
        raise missing_model()
    return ModelName(model)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
