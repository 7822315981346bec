"""Objects that last: each lies in the project that made it, and is nowhere for the keys of another.

A collection is a path with its ids left out: `/files`, `/threads/*/runs`. What is special about one stands in
`object_calls.py`; here is what all have in common.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.sandbox.config import KeyConfig

Fields = dict[str, Any]


class Collection(msgspec.Struct, frozen=True):
    """One kind of objects."""

    prefix: str
    """Of its ids."""
    object: str
    noun: str
    """As OpenAI calls it in a 404."""


COLLECTIONS: dict[str, Collection] = {
    "/files": Collection("file-", "file", "File object"),
    "/uploads": Collection("upload_", "upload", "Upload"),
    "/uploads/*/parts": Collection("part_", "upload.part", "Part"),
    "/batches": Collection("batch_", "batch", "Batch"),
    "/fine_tuning/jobs": Collection("ftjob-", "fine_tuning.job", "Fine-tuning job"),
    "/responses": Collection("resp_", "response", "Response"),
    "/chat/completions": Collection("chatcmpl-", "chat.completion", "Chat completion"),
    "/conversations": Collection("conv_", "conversation", "Conversation"),
    "/conversations/*/items": Collection("msg_", "conversation.item", "Item"),
    "/vector_stores": Collection("vs_", "vector_store", "Vector store"),
    "/vector_stores/*/files": Collection("file-", "vector_store.file", "File"),
    "/vector_stores/*/file_batches": Collection("vsfb_", "vector_store.file_batch", "File batch"),
    "/assistants": Collection("asst_", "assistant", "assistant"),
    "/threads": Collection("thread_", "thread", "thread"),
    "/threads/*/messages": Collection("msg_", "thread.message", "message"),
    "/threads/*/runs": Collection("run_", "thread.run", "run"),
    "/containers": Collection("cntr_", "container", "Container"),
    "/containers/*/files": Collection("cfile_", "container.file", "Container file"),
    "/evals": Collection("eval_", "eval", "Eval"),
    "/evals/*/runs": Collection("evalrun_", "eval.run", "Run"),
    "/videos": Collection("video_", "video", "Video"),
    "/skills": Collection("skill_", "skill", "Skill"),
    "/audio/voices": Collection("voice_", "audio.voice", "Voice"),
    "/audio/voice_consents": Collection("cons_", "audio.voice_consent", "Consent"),
    "/realtime/calls": Collection("rtc_", "realtime.call", "Call"),
    "/chatkit/sessions": Collection("cksess_", "chatkit.session", "Session"),
    "/agents": Collection("agent_", "agent", "Agent"),
    "/vaults": Collection("vault_", "vault", "Vault"),
    "/webhook_endpoints": Collection("we_", "webhook_endpoint", "Webhook endpoint"),
}
_BY_HAND = {"pmpt_", "wf_"}
"""Prompts and workflows: made in the dashboard, read by nobody."""
_PREFIXES = sorted({*_BY_HAND, *(collection.prefix for collection in COLLECTIONS.values())}, key=len, reverse=True)
_ID = re.compile(rf"(?:{'|'.join(map(re.escape, _PREFIXES))})[0-9a-f]{{24}}")
"""An id as this sandbox makes them."""


class Place(msgspec.Struct, frozen=True):
    """What a path leads to: a collection, one of its objects, or something that is done with one."""

    collection: Collection
    path: str
    """Of the collection, ids and all: `/threads/thread_1/runs`."""
    id: str = ""
    action: str = ""
    """Below the object: `content`, `cancel`."""


def place_of(path: str) -> Place | None:
    """`path` is below the version. None: no collection is there."""
    segments = path.strip("/").split("/")
    for length in range(len(segments), 0, -1):
        pattern = _pattern(segments[:length])
        if pattern in COLLECTIONS:
            id_, *action = [*segments[length:], ""]
            return Place(COLLECTIONS[pattern], "/" + "/".join(segments[:length]), id_, "/".join(action).strip("/"))
    return None


def _pattern(segments: list[str]) -> str:
    return "/" + "/".join("*" if _ID.fullmatch(segment) else segment for segment in segments)


class Shelf:
    """The objects of one project, by the path of their collection, oldest first; and the bytes of its files."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Fields]] = {}
        self.contents: dict[str, bytes] = {}

    def put(self, path: str, fields: Fields) -> None:
        self._objects.setdefault(path, {})[fields["id"]] = fields

    def get(self, path: str, id_: str) -> Fields | None:
        return self._objects.get(path, {}).get(id_)

    def remove(self, path: str, id_: str) -> bool:
        self.contents.pop(id_, None)
        return self._objects.get(path, {}).pop(id_, None) is not None

    def listed(self, path: str) -> list[Fields]:
        return list(self._objects.get(path, {}).values())

    def has(self, id_: str) -> bool:
        """Whether any collection has it."""
        return any(id_ in objects for objects in self._objects.values())


class Objects:
    """Everything that lasts in one sandbox."""

    def __init__(self) -> None:
        self._shelves: dict[tuple[str, str], Shelf] = {}
        self._made = 0

    def shelf(self, key: KeyConfig) -> Shelf:
        """Of the key's organisation and project."""
        return self._shelves.setdefault((key.org, key.project), Shelf())

    def new_id(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}{self._made:024x}"

    def clear(self) -> None:
        self._shelves.clear()


def named_ids(value: object) -> Iterator[str]:
    """Ids that stand anywhere in a body, as whole strings; that of an item which is there itself is none."""
    if isinstance(value, str):
        if _ID.fullmatch(value):
            yield value
    elif isinstance(value, dict):
        is_itself = value.get("type", "item_reference") != "item_reference"
        for name, item in value.items():
            if not (is_itself and name == "id"):
                yield from named_ids(item)
    elif isinstance(value, list):
        for item in value:
            yield from named_ids(item)


ONE_WAY = frozenset({"/batches", "/fine_tuning/jobs", "/audio/voice_consents"})
"""Collections whose lists know neither `order` nor `before`."""


OLDEST_FIRST = frozenset({"/chat/completions", "/evals"})
"""Collections whose lists begin with the oldest unless they are asked for another order."""


def write_page(objects: list[Fields], query: dict[str, str]) -> Fields:
    """A page of a list: `after`, `before`, `limit` (1 to 100, 20 by default), `order` (newest first by default)."""
    in_order = objects if query.get("order") == "asc" else objects[::-1]
    ids = [item["id"] for item in in_order]
    after, before = query.get("after", ""), query.get("before", "")
    start = ids.index(after) + 1 if after in ids else 0
    end = ids.index(before) if before in ids else len(ids)
    limit = min(max(int(query["limit"]), 1), 100) if query.get("limit", "").isdecimal() else 20
    page = in_order[start:end][:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": start + len(page) < end,
    }
