"""What an answer makes known: ids of objects that it created or shows, whatever form it has.

Rules of this file: an object says itself what it is (`"object": "file"`); members that name what a call made in passing
(a batch's output file, a job's model) are a table; what the upstream does not keep (`store: false`) is left out.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from gateway.core.affinity import AUDIO, CHATS, ENCRYPTED, FILES, ITEMS, LONGEST_ID, MODELS, RESPONSES, encrypted_id
from gateway.core.call import Endpoint, Schema
from gateway.wire.message_ids import read_message_ids

OBJECT_KINDS: Final[Mapping[str, str]] = {
    "file": FILES,
    "upload": "uploads",
    "batch": "batches",
    "response": RESPONSES,
    "conversation": "conversations",
    "vector_store": "vector_stores",
    "assistant": "assistants",
    "thread": "threads",
    "container": "containers",
    "fine_tuning.job": "fine_tuning/jobs",
    "eval": "evals",
    "video": "videos",
    "skill": "skills",
    "chat.completion": CHATS,
    "audio.voice": "audio/voices",
    "audio.voice_consent": "audio/voice_consents",
    "chatkit.session": "chatkit/sessions",
    "chatkit.thread": "chatkit/threads",
}
"""`object` → kind. Others are found below their parent alone (messages, runs), or through the row's `creates`."""
MADE_MEMBERS: Final[Mapping[str, str]] = {
    "output_file_id": FILES,
    "error_file_id": FILES,
    "result_files": FILES,
    "fine_tuned_model": MODELS,
    "fine_tuned_model_checkpoint": MODELS,
    "thread_id": "threads",
    "container_id": "containers",
    "conversation": "conversations",
    "audio": AUDIO,
}
"""Members of an answer that may name what the call made in passing."""
CALLERS_MEMBERS: Final = frozenset(
    {"metadata", "tools", "parameters", "schema", "attributes", "filters", "input_schema"}
)
"""Members in which an answer repeats what its caller wrote: nothing there was made, whatever it calls itself."""
CREATED_KINDS: Final[Mapping[str, str | None]] = {
    "video": "videos",
    "live_session": "live/sessions",
    "response": RESPONSES,
    "run": None,
    "realtime_session": None,
}
"""A row's `creates` → kind, where its path does not tell; None: only found below its parent, or not at all."""
FILE_PATH: Final = "file_path"
"""Type of an annotation that names a file which was written for the answer; those that cite one show what was given."""
LOCATED: Final = "realtime/calls"
"""Whose id stands at the end of the header `Location`."""
_MOST: Final = 10_000
"""Ids of one answer: OpenAI's longest page."""


class Seen(msgspec.Struct, frozen=True):
    """An object that an answer shows."""

    id: str
    kind: str
    created_at: datetime | None = None
    """As the upstream says."""
    is_created: bool = False
    """The call itself made it, and the answer is about it."""


def read_objects(body: object, endpoint: Endpoint, *, keeps_chats: bool = False) -> list[Seen]:
    """The objects in a decoded answer or event, each once. `keeps_chats`: the call asked for its chat to be stored."""
    found: dict[str, Seen] = {}
    if isinstance(body, dict):
        _note_created(body, endpoint, found)
    if endpoint.schema is Schema.ANTHROPIC:
        for id_, kind in (read_message_ids(body) if isinstance(body, dict) else {}).items():
            _note(Seen(id_, kind), found)
        return list(found.values())
    left = [body] if isinstance(body, dict | list) else []
    while left and len(found) < _MOST:
        value = left.pop()
        if isinstance(value, list):
            left += [one for one in value if isinstance(one, dict | list)]
            continue
        _note_object(value, endpoint, found, keeps_chats=keeps_chats)
        for name, member in value.items():
            if name in MADE_MEMBERS:
                _note_member(MADE_MEMBERS[name], member, found)
            elif name == ENCRYPTED and isinstance(member, str) and member:
                _note(Seen(encrypted_id(member), ENCRYPTED), found)
            if isinstance(member, dict | list) and name not in CALLERS_MEMBERS:
                left.append(member)
    return list(found.values())


def created_kind(endpoint: Endpoint) -> str | None:
    """Of the object whose id the row's answers carry; None when it has none, or one that is found below its parent."""
    if endpoint.creates is None:
        return None
    if endpoint.creates in CREATED_KINDS:
        return CREATED_KINDS[endpoint.creates]
    return None if "{" in endpoint.path else endpoint.path.removeprefix("/")


def created_at(value: Mapping[str, Any]) -> datetime | None:
    """When the upstream made the object; None when it does not say, or nonsense."""
    for name in ("created_at", "created"):
        seconds = value.get(name)
        if isinstance(seconds, int | float) and 0 < seconds < 100_000_000_000:
            return datetime.fromtimestamp(seconds, UTC)
        if isinstance(seconds, str):
            return _moment(seconds)
    return None


def _moment(text: str) -> datetime | None:
    """RFC 3339, as Anthropic writes it."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _note_created(body: Mapping[str, Any], endpoint: Endpoint, found: dict[str, Seen]) -> None:
    kind, id_ = created_kind(endpoint), body.get("id")
    if kind is not None and isinstance(id_, str) and body.get("store") is not False:
        _note(Seen(id_, kind, created_at(body), is_created=True), found)


def _note_object(value: Mapping[str, Any], endpoint: Endpoint, found: dict[str, Seen], *, keeps_chats: bool) -> None:
    name, id_ = value.get("object"), value.get("id")
    _note_made_files(value, found)
    kind = OBJECT_KINDS.get(name) if isinstance(name, str) else None
    if kind is None or not isinstance(id_, str) or value.get("deleted") is True:
        return
    if kind == CHATS and not (keeps_chats or endpoint.is_list):
        return
    if kind == RESPONSES:
        if value.get("store") is False:
            return
        _note_items(value.get("output"), found)
    is_created = endpoint.creates is not None and kind == created_kind(endpoint)
    _note(Seen(id_, kind, created_at(value), is_created=is_created), found)


def _note_made_files(value: Mapping[str, Any], found: dict[str, Seen]) -> None:
    """Files that a tool wrote for an answer: as an annotation of its text, or a picture in an assistant's message."""
    if value.get("type") == FILE_PATH:
        inner = value.get(FILE_PATH)
        id_ = inner.get("file_id") if isinstance(inner, dict) else value.get("file_id")
        if isinstance(id_, str):
            _note(Seen(id_, FILES), found)
    elif value.get("object") == "thread.message" and value.get("role") == "assistant":
        content = value.get("content")
        for part in content if isinstance(content, list) else ():
            picture = part.get("image_file") if isinstance(part, dict) else None
            if isinstance(picture, dict) and isinstance(picture.get("file_id"), str):
                _note(Seen(picture["file_id"], FILES), found)


def _note_items(output: object, found: dict[str, Seen]) -> None:
    for item in output if isinstance(output, list) else ():
        if isinstance(item, dict) and isinstance(item.get("id"), str):
            _note(Seen(item["id"], ITEMS), found)


def _note_member(kind: str, value: object, found: dict[str, Seen]) -> None:
    if isinstance(value, dict):
        value = value.get("id")
    for id_ in value if isinstance(value, list) else (value,):
        if isinstance(id_, str):
            _note(Seen(id_, kind), found)


def _note(seen: Seen, found: dict[str, Seen]) -> None:
    if 0 < len(seen.id) <= LONGEST_ID:
        found.setdefault(seen.id, seen)
