"""What a call refers to: ids of stateful objects in its path, query, body and form (reference §1.3).

Rules of this file: a member's name decides, never an id's prefix, whose form OpenAI may change; what callers fill with
names of their own (`metadata`, JSON schemas) is not looked into. Of the usual chat only its messages' keys are seen.
Nothing is passed over for being one too many: a call that names more than we look up is refused.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote

import msgspec

from gateway.core.affinity import (
    AUDIO,
    ENCRYPTED,
    FILES,
    ITEMS,
    LONGEST_ID,
    MODELS,
    PROMPTS,
    RESPONSES,
    UNREADABLE_KINDS,
    WORKFLOWS,
    Reference,
    encrypted_id,
)
from gateway.core.call import Call, Endpoint, ModelUse, Schema, StreamKind
from gateway.core.ids import ModelName
from gateway.wire.duplicates import Keys
from gateway.wire.endpoints import path_values
from gateway.wire.envelope import peek_fields
from gateway.wire.lenient import begins_as_json
from gateway.wire.message_ids import NEEDLES, read_batch_models, read_message_references
from gateway.wire.multipart import Form
from gateway.wire.paths import has_hidden_ends
from gateway.wire.refusals import check_references

MEMBERS: Final[Mapping[str, str]] = {
    "file_id": FILES,
    "file_ids": FILES,
    "input_file_id": FILES,
    "training_file": FILES,
    "validation_file": FILES,
    "vector_store_id": "vector_stores",
    "vector_store_ids": "vector_stores",
    "previous_response_id": RESPONSES,
    "conversation": "conversations",
    "conversation_id": "conversations",
    "assistant_id": "assistants",
    "thread_id": "threads",
    "container": "containers",
    "container_id": "containers",
    "skill_id": "skills",
    "video": "videos",
    "video_id": "videos",
    "voice": "audio/voices",
    "consent": "audio/voice_consents",
    "agent": "agents",
    "agent_id": "agents",
    "environment_id": "agents/environments",
    "vault_ids": "vaults",
    "audio": AUDIO,
    "prompt": PROMPTS,
    "workflow": WORKFLOWS,
}
"""Member → kind. Its value is an id, a list of ids, or an object with an `id`."""
QUERY_MEMBERS: Final[Mapping[str, str]] = {**MEMBERS, "call_id": "realtime/calls"}
"""The same of a query; in a body a `call_id` is a function's."""
SOFT_MEMBERS: Final = frozenset({"call_id", "agent", "agent_id", "environment_id", "vault_ids", "voice", "consent"})
"""Names that mean other things elsewhere: a voice of the model."""
IN_OBJECTS: Final = frozenset({"voice", "audio", "prompt", "workflow"})
"""Ids only as the `id` of an object: as a text they are names that everybody has (`alloy`), or words."""
OPAQUE_MEMBERS: Final = frozenset({"metadata", "parameters", "schema", "attributes", "filters", "input_schema"})
"""Callers' own names are in them."""
ITEM_TYPES: Final = frozenset({"item_reference", "reasoning", "compaction"})
"""Items of a Responses input that the upstream must have: others are sent whole, and their id decides nothing."""
WORDS: Final = frozenset({"auto", "none", ""})
FINE_TUNED: Final = "ft:"
CHECKPOINT: Final = "fine_tuned_model_checkpoint"

_NAMES: Final = frozenset({*MEMBERS, "model", ENCRYPTED})
NAMED_ONCE: Final = Keys({*_NAMES, "id", "type", "purpose", "part_ids"}, OPAQUE_MEMBERS)
"""And what says which kind of object an id is of, what a file is to be, or of which parts it is made."""
_CHAT: Final = StreamKind.CHAT  # bound: Python 3.11 takes as long to find a member as to call a function
_NESTED: Final = (dict, list)
_ESCAPE: Final = b"\\u00"
_ESCAPED_LETTER: Final = re.compile(rb"\\u00[4-7]")
"""An ASCII letter or underscore, written so that no search finds the name it is in."""
_CHAT_NEEDLE: Final = re.compile(
    rb'"(?:f(?:ile_id"|t:|t?+[ile_d]{0,5}+\\u00[3-7])|a(?:udio"|[udi]{0,3}+\\u00[4-7])'
    rb'|s(?:tore"[ \t\n\r]*+:[ \t\n\r]*+t|[tor]{0,3}+\\u00[4-7])|\\u00[4-7])'
)
"""`"file_id"`, `"audio"`, `"store": t`, `"ft:`, with escapes too. Without one of them a chat names nothing, however
often its members stand in it, and its answer makes nothing known. By first letters, twice as fast as word by word.
"""
_DIVIDERS: Final = re.compile(r"[/\\;?#&=,%]+")
"""What some server may take for the end of an id in a path."""
_IN_BRACKETS: Final = re.compile(r"\[([a-z_]+)\]")


_Path = tuple[Any, str | int] | None
"""Where a value stands: in what, and under which name or index there. Written out only where somebody reads it."""


class Named(NamedTuple):
    """All that a call names."""

    path: Reference | None
    """The object whose path it is, or below whose path."""
    others: list[Reference]
    keeps_chats: bool
    """A chat that is to be stored: its answer's id names an object."""
    models: tuple[ModelName, ...] = ()
    """Those that the calls inside of it ask for: a batch of messages."""


def may_refer(call: Call, fields: Mapping[str, Any], body: bytes) -> bool:
    """Whether a call may name an object, or its answer make one known. False for nearly all chats, and cheap.

    Raises InvalidCall for a chat of somebody with ids of its own that names an object in what only some servers read:
    in the first of two `messages`.
    """
    endpoint = call.endpoint
    if endpoint.stream is _CHAT:
        if call.owner is None:
            if _chat_may_refer(fields):
                return True
        elif _CHAT_NEEDLE.search(body) is not None:
            if _chat_may_refer(fields):
                return True
            NAMED_ONCE.check(body)
    elif not endpoint.is_stateless:
        is_message = endpoint.schema is Schema.ANTHROPIC and endpoint.model is ModelUse.REQUIRED
        return not is_message or _message_may_refer(body)
    return call.model is not None and call.model.startswith(FINE_TUNED)


def references_of(
    call: Call, fields: Mapping[str, Any], form: Iterable[tuple[str, str]] = (), *, body: bytes = b""
) -> Named:
    """Every object that the call names: `fields` is its decoded `body`, `form` the texts of its form.

    Raises InvalidCall for a body that names one twice over.
    """
    endpoint, query = call.endpoint, call.query
    if body:
        NAMED_ONCE.check(body)
    if endpoint.schema is Schema.ANTHROPIC:
        path, models = path_reference(endpoint, call.path), read_batch_models(fields)
        return Named(path, read_message_references(fields), keeps_chats=False, models=models)
    others = [] if endpoint.is_stateless else [*read_references(fields), *read_form_references(form)]
    if query and not endpoint.is_list:
        others += read_query_references(query)
    if not endpoint.path or has_hidden_ends(call.path):
        others += unknown_path_references(call.path)
    model = model_reference(call.model)
    if model is not None:
        others.append(model)
    path = path_reference(endpoint, call.path)
    if path is not None:
        others += lower_path_references(endpoint, call.path)
    keeps_chats = endpoint.stream is StreamKind.CHAT and fields.get("store") is True
    return Named(path, others, keeps_chats)


def read_references(fields: Mapping[str, Any]) -> list[Reference]:
    """Every object that a decoded JSON body names, each once, where it is named first."""
    found: dict[str, Reference] = {}
    left: list[tuple[Any, _Path]] = [(fields, None)]
    while left:
        value, path = left.pop()
        if isinstance(value, list):
            left += [(one, (path, place)) for place, one in enumerate(value) if isinstance(one, _NESTED) and one]
            continue
        if "id" in value:
            _note_typed(value, path, found)
        for name, member in value.items():
            if name in _NAMES:
                _note_member(name, member, _written((path, name)), found)
                check_references(len(found))
            if isinstance(member, _NESTED) and name not in OPAQUE_MEMBERS:
                left.append((member, (path, name)))
    return list(found.values())


def read_form_references(form: Iterable[tuple[str, str]]) -> list[Reference]:
    """The same of the text fields of a form: `file_id`, `video[id]`, `file_ids[]`, `session`, which is JSON."""
    found: dict[str, Reference] = {}
    for field, value in form:
        name, inner = field.partition("[")[0], _IN_BRACKETS.findall(field)
        last = inner[-1] if inner else name
        if inside := _read_inside(last, value.encode("utf-8", "replace")):
            for one in inside:
                found.setdefault(one.id, msgspec.structs.replace(one, param=f"{field}.{one.param}"))
        elif last == "id" and name in QUERY_MEMBERS:
            _note_id(name, value, field, found)
        elif last in QUERY_MEMBERS or last == "model":
            _note_member(last, value, field, found)
        check_references(len(found))
    return list(found.values())


def _read_inside(field: str, text: bytes) -> list[Reference]:
    """Of a field whose text is JSON."""
    if not begins_as_json(text):
        return []
    fields = peek_fields(text)
    NAMED_ONCE.check(text)
    return read_references({field: fields[""]} if fields.keys() == {""} else fields)


def texts_of(form: Form | None) -> list[tuple[str, str]]:
    """Names and values of a form's text fields; none where it is no form."""
    parts = () if form is None else form.parts
    return [(part.name, part.value.decode("utf-8", "replace")) for part in parts if part.value is not None]


def read_query_references(query: bytes) -> list[Reference]:
    """The same of a query."""
    if b"id" not in query and b"model" not in query and b"%" not in query:
        return []
    return read_form_references(parse_qsl(query.decode("latin-1").replace(";", "&")))  # `;` divides for some servers


def model_reference(model: ModelName | None) -> Reference | None:
    """A fine-tuned model belongs to the organisation that trained it."""
    if model is None or not model.startswith(FINE_TUNED):
        return None
    return Reference(model, MODELS, "model", is_soft=True)


def path_reference(endpoint: Endpoint, path: str) -> Reference | None:
    """The object whose path it is, or below whose path: the first id decides, for what is below it lives with it."""
    kind = kind_of_path(endpoint.path)
    if kind is None:
        return None
    name, id_ = next(iter(path_values(endpoint, path).items()))
    if name == CHECKPOINT:
        kind = MODELS
    return Reference(id_, kind, is_soft=kind in UNREADABLE_KINDS) if 0 < len(id_) <= LONGEST_ID else None


def lower_path_references(endpoint: Endpoint, path: str) -> list[Reference]:
    """Objects with a life of their own below another: the files of a store."""
    below = list(path_values(endpoint, path).items())[1:]
    return [Reference(id_, MEMBERS[name], is_soft=True) for name, id_ in below if name in MEMBERS]


def unknown_path_references(path: str) -> list[Reference]:
    """Of a path that no row has, or that hides the end of an id: any segment may be one."""
    segments = [segment.strip() for segment in _DIVIDERS.split(unquote(path)) if segment]
    check_references(len(segments))
    return [
        Reference(segment, "/".join(segments[: min(place, 8)]), is_soft=True)
        for place, segment in enumerate(segments)
        if place > 0 and 0 < len(segment) <= LONGEST_ID
    ]


def _message_may_refer(body: bytes) -> bool:
    if any(needle in body for needle in NEEDLES):
        return True
    return _ESCAPE in body and _ESCAPED_LETTER.search(body) is not None


def _chat_may_refer(fields: Mapping[str, Any]) -> bool:
    """Only files among the content's parts and audio replies can be named in a chat; only what is stored or spoken has
    an id afterwards. Looks at each message, and at none of their texts.
    """
    if fields.get("store") or fields.get("audio"):
        return True
    messages = fields.get("messages")
    for message in messages if type(messages) is list else ():
        if type(message) is not dict:
            continue
        content = message.get("content")
        if type(content) is list:
            for part in content:
                if type(part) is dict and ("file" in part or "file_id" in part):
                    return True
        if "audio" in message:
            return True
    return False


def kind_of_path(path: str) -> str | None:
    """`/files/{file_id}/content` → `files`; None for a path without an id."""
    collection, brace, _ = path.partition("/{")
    return collection.removeprefix("/") if brace else None


def _written(path: "_Path") -> str:
    """`input[0].content[1].file_id`."""
    parts: list[str] = []
    while path is not None:
        path, name = path
        parts.append(f"[{name}]" if isinstance(name, int) else f".{name}")
    return "".join(reversed(parts)).removeprefix(".")


def _note_typed(value: Mapping[str, Any], path: "_Path", found: dict[str, Reference]) -> None:
    """Objects that say by `type` what their `id` is: `{"type": "file_id", "id": …}`, items of a response."""
    id_ = value["id"]
    if not isinstance(id_, str):
        return
    type_ = value.get("type")
    if type_ == "file_id":
        _note(Reference(id_, FILES, _written((path, "id"))), found)
    elif (isinstance(type_, str) and type_ in ITEM_TYPES) or (
        type_ is None and path is not None and path[0] == (None, "input")
    ):
        _note(Reference(id_, ITEMS, _written((path, "id")), is_soft=True), found)


def _note_member(name: str, value: object, param: str, found: dict[str, Reference]) -> None:
    if isinstance(value, dict):
        value = value.get("id")
        param += ".id"
    elif name in IN_OBJECTS:
        return
    if isinstance(value, list):
        for place, one in enumerate(value):
            id_ = one.get("id") if isinstance(one, dict) else one
            if isinstance(id_, str):
                _note_id(name, id_, f"{param}[{place}]", found)
    elif isinstance(value, str):
        _note_id(name, value, param, found)


def _note_id(name: str, id_: str, param: str, found: dict[str, Reference]) -> None:
    if name == ENCRYPTED:
        _note(Reference(encrypted_id(id_), ENCRYPTED, param, is_soft=True), found)
    elif id_.startswith(FINE_TUNED):
        _note(Reference(id_, MODELS, param, is_soft=True), found)
    elif name != "model" and id_ not in WORDS:
        kind = QUERY_MEMBERS[name]
        _note(Reference(id_, kind, param, is_soft=name in SOFT_MEMBERS or kind in UNREADABLE_KINDS), found)


def _note(reference: Reference, found: dict[str, Reference]) -> None:
    if len(reference.id) <= LONGEST_ID:
        found.setdefault(reference.id, reference)
