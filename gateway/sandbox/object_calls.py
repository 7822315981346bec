"""Calls that make, read, list, change and delete objects: one way for all of them, and what is special about some."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from gateway.sandbox import batches, responses, runs
from gateway.sandbox.answer import Answer, streamed, whole
from gateway.sandbox.config import KeyConfig
from gateway.sandbox.errors import ErrorKind, Names, worded, write_error
from gateway.sandbox.form import Part, fields_of, read_form
from gateway.sandbox.objects import (
    COLLECTIONS,
    OLDEST_FIRST,
    ONE_WAY,
    Fields,
    Objects,
    Place,
    Shelf,
    named_ids,
    place_of,
    write_page,
)
from gateway.sandbox.request import Request
from gateway.sandbox.typed_streams import run_events, write_response_error, write_typed_error

HeaderList = list[tuple[str, str]]
_JSON = "application/json"


class ObjectCall(msgspec.Struct, kw_only=True):
    """One call and all that its answer needs."""

    request: Request
    place: Place
    objects: Objects
    shelf: Shelf
    fields: Fields
    files: list[Part]
    created: int
    """Unix seconds."""
    org: str

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.request.query))


class Refused(Exception):
    """The call is answered with an error."""

    def __init__(self, kind: ErrorKind) -> None:
        super().__init__(kind.message)
        self.kind = kind


def place_in(request: Request) -> Place | None:
    """Where a request of an object leads; None: it is no matter of this file. Plain chats are none."""
    place = place_of(request.path.removeprefix("/v1"))
    if place is None or (place.path == "/chat/completions" and request.method == "POST" and not place.id):
        return None
    return place


def answer_object(
    request: Request, place: Place, objects: Objects, key: KeyConfig, *, created: int, headers: HeaderList
) -> Answer:
    try:
        fields, files = _read(request)
        call = ObjectCall(
            request=request,
            place=place,
            objects=objects,
            shelf=objects.shelf(key),
            fields=fields,
            files=files,
            created=created,
            org=key.org,
        )
        return _answer(call, headers)
    except Refused as refused:
        return whole(refused.kind.status, headers, write_error(refused.kind, worded(refused.kind, Names())))


def _read(request: Request) -> tuple[Fields, list[Part]]:
    content_type = request.header(b"content-type")
    if request.method != "POST" or not request.content:
        return {}, []
    if content_type.startswith("multipart/form-data"):
        parts = read_form(content_type, request.content)
        if parts is None:
            raise Refused(ErrorKind(400, "Could not parse multipart form"))
        return fields_of(parts), [part for part in parts if part.filename is not None]
    if not content_type.startswith(_JSON):
        return {}, []
    try:
        fields = msgspec.json.decode(request.content)
    except msgspec.DecodeError:
        raise Refused(ErrorKind(400, "We could not parse the JSON body of your request.")) from None
    return (fields if isinstance(fields, dict) else {}), []


def _answer(call: ObjectCall, headers: HeaderList) -> Answer:
    place, method = call.place, call.request.method
    if method == "POST" and (place.path, place.id) in _CALLED:
        return _CALLED[place.path, place.id](call, headers)
    _check_parents(call)
    if place.action:
        return _act(call, headers)
    if place.id:
        return _one(call, headers)
    if method == "GET":
        unknown = {"order", "before"} if place.path in ONE_WAY else set()
        first = {"order": "asc"} if place.path in OLDEST_FIRST else {}
        query = first | {name: value for name, value in call.query.items() if name not in unknown}
        return _json(headers, write_page(call.shelf.listed(place.path), query))
    if method == "POST":
        return _create(call, headers)
    raise Refused(ErrorKind(405, f"Not allowed to {method} on {call.request.path}.", code="method_not_supported"))


def _check_parents(call: ObjectCall) -> None:
    """An object below another is only there where that one is: `/threads/thread_1/runs`."""
    segments = call.place.path.split("/")
    if len(segments) == 4:
        parent = place_of("/" + segments[1])
        if parent is not None and call.shelf.get(parent.path, segments[2]) is None:
            raise _not_found(parent, segments[2])


def _not_found(place: Place, id_: str) -> Refused:
    noun = place.collection.noun
    if place.collection.object == "response":
        message = f"Response with id '{id_}' not found."
        return Refused(ErrorKind(404, message))
    return Refused(ErrorKind(404, f"No such {noun}: {id_}", param="id"))


def _found(call: ObjectCall) -> Fields:
    found = call.shelf.get(call.place.path, call.place.id)
    if found is None:
        raise _not_found(call.place, call.place.id)
    return found


def _one(call: ObjectCall, headers: HeaderList) -> Answer:
    place, found = call.place, _found(call)
    if call.request.method == "DELETE":
        call.shelf.remove(place.path, place.id)
        return _json(headers, {"id": place.id, "object": place.collection.object + ".deleted", "deleted": True})
    if call.request.method == "POST":
        found.update(call.fields)
        return _json(headers, found)
    if place.path == "/batches":
        batches.finish(found, call.shelf, call.objects, call.created)
    if place.path == "/fine_tuning/jobs":
        _finish_job(call, found)
    if place.collection.object in {"thread.run", "eval.run"} and found["status"] == "queued":
        runs.finish(found)
    if place.path == "/responses" and found["status"] == "queued":
        responses.finish(found)
    if place.path == "/responses" and call.query.get("stream") == "true":
        return _response_events(headers, found)
    return _json(headers, found)


def _create(call: ObjectCall, headers: HeaderList) -> Answer:
    _check_references(call)
    made = MAKERS.get(call.place.path.split("/")[1], _make)(call)
    is_kept = call.place.path != "/responses" or made.get("store") is not False
    if is_kept:
        call.shelf.put(call.place.path, made)
    if call.place.path == "/responses" and call.fields.get("stream") is True:
        return _response_events(headers, made)
    if call.place.collection.object == "thread.run" and call.fields.get("stream") is True:
        return _run_events(call, headers, made, None)
    if call.place.path == "/realtime/calls":
        return whole(
            201, [*_with(headers, "application/sdp"), ("location", f"/v1/realtime/calls/{made['id']}")], b"v=0"
        )
    return _json(headers, made)


def _check_references(call: ObjectCall) -> None:
    """Every id that the body names must lie in the key's own project."""
    for id_ in named_ids(call.fields):
        if call.shelf.has(id_):
            continue
        if call.fields.get("previous_response_id") == id_:
            message = f"Previous response with id '{id_}' not found."
            raise Refused(ErrorKind(400, message, code="previous_response_not_found", param="previous_response_id"))
        if id_.startswith("file-"):
            raise Refused(ErrorKind(400, f"No such File object: {id_}", param="id"))
        raise Refused(ErrorKind(404, f"Object with id '{id_}' not found."))
    if not responses.can_read(call.fields, call.org):
        message = "The encrypted content could not be verified."
        raise Refused(ErrorKind(400, message, code="invalid_encrypted_content"))


# -- what some kinds have beside the rest ------------------------------------------------------------------------


def _make(call: ObjectCall) -> Fields:
    collection = call.place.collection
    made = {
        "id": call.objects.new_id(collection.prefix),
        "object": collection.object,
        "created_at": call.created,
        "status": "completed",
        "metadata": {},
        **{name: value for name, value in call.fields.items() if name != "id"},
    }
    segments = call.place.path.split("/")
    if len(segments) == 4:
        made[segments[1].rstrip("s") + "_id"] = segments[2]
    if call.files and call.place.path != "/files":
        made |= {"bytes": len(call.files[0].value), "filename": call.files[0].filename}
        call.shelf.contents[made["id"]] = call.files[0].value
    return runs.begin(made)


def _make_file(call: ObjectCall) -> Fields:
    if not call.files:
        raise Refused(ErrorKind(400, "'file' is a required property"))
    if not call.fields.get("purpose"):
        raise Refused(ErrorKind(400, "'purpose' is a required property"))
    file = call.files[0]
    made = {
        "id": call.objects.new_id("file-"),
        "object": "file",
        "bytes": len(file.value),
        "created_at": call.created,
        "filename": file.filename,
        "purpose": call.fields["purpose"],
        "status": "processed",
    }
    call.shelf.contents[made["id"]] = file.value
    return made


def _make_in_store(call: ObjectCall) -> Fields:
    """A file in a vector store keeps its id."""
    made = _make(call)
    if call.place.collection.object == "vector_store.file":
        made["id"] = call.fields.get("file_id", made["id"])
    return made


def _make_response(call: ObjectCall) -> Fields:
    id_ = call.objects.new_id("resp_")
    return responses.write_response(call.fields, id_, call.objects.new_id("msg_"), call.created, call.org)


def _make_batch(call: ObjectCall) -> Fields:
    return batches.write_batch(call.fields, call.objects.new_id("batch_"), call.created)


def _make_job(call: ObjectCall) -> Fields:
    return _make(call) | {"status": "validating_files", "fine_tuned_model": None, "result_files": []}


def _finish_job(call: ObjectCall, job: Fields) -> None:
    """A job is done when it is first asked for."""
    if job["fine_tuned_model"] is None:
        suffix = call.objects.new_id("")[-8:]
        job["status"], job["trained_tokens"] = "succeeded", 1_000
        job["fine_tuned_model"] = f"ft:{job.get('model', 'gpt-4o-mini')}:{call.org}::{suffix}"


MAKERS: dict[str, Callable[[ObjectCall], Fields]] = {
    "files": _make_file,
    "vector_stores": _make_in_store,
    "responses": _make_response,
    "batches": _make_batch,
    "fine_tuning": _make_job,
}
"""By the first segment of the path; the others are made alike."""


# -- what stands where an id would -------------------------------------------------------------------------------


def _thread_and_run(call: ObjectCall, headers: HeaderList) -> Answer:
    thread = _make(msgspec.structs.replace(call, fields=call.fields.get("thread") or {}))
    call.shelf.put("/threads", thread)
    there = Place(COLLECTIONS["/threads/*/runs"], f"/threads/{thread['id']}/runs")
    within = msgspec.structs.replace(call, place=there)
    if call.fields.get("stream") is not True:
        return _create(within, headers)
    run = _make(within)
    call.shelf.put(there.path, run)
    return _run_events(within, headers, run, thread)


def _count_input(call: ObjectCall, headers: HeaderList) -> Answer:
    _check_references(call)
    return _json(headers, {"object": "response.input_tokens", "input_tokens": 7})


def _compact(call: ObjectCall, headers: HeaderList) -> Answer:
    _check_references(call)
    item = {"id": call.objects.new_id("cmp_"), "type": "compaction", "encrypted_content": responses.sealed(call.org)}
    id_ = call.objects.new_id("resp_")
    body = {"id": id_, "object": "response.compaction", "created_at": call.created, "output": [item]}
    return _json(headers, body)


_CALLED: dict[tuple[str, str], Callable[[ObjectCall, HeaderList], Answer]] = {
    ("/threads", "runs"): _thread_and_run,
    ("/responses", "input_tokens"): _count_input,
    ("/responses", "compact"): _compact,
}


# -- what is done with an object ---------------------------------------------------------------------------------


def _act(call: ObjectCall, headers: HeaderList) -> Answer:
    place, found, method = call.place, _found(call), call.request.method
    match method, place.action:
        case "GET", "content":
            return whole(200, _with(headers, "application/octet-stream"), call.shelf.contents.get(place.id, b""))
        case "GET", "input_items" | "events" | "checkpoints" | "messages" | "items" | "files":
            return _json(headers, write_page([], call.query))
        case "POST", "cancel":
            found["status"] = "cancelled"
        case "POST", "complete":
            found |= {"status": "completed", "file": _completed(call, found)}
        case "POST", "search":
            return _json(headers, {"object": "vector_store.search_results.page", "data": [], "has_more": False})
        case "POST", _:
            found.update(call.fields)
        case _:
            raise Refused(ErrorKind(404, f"Invalid URL ({method} {call.request.path})"))
    return _json(headers, found)


def _completed(call: ObjectCall, upload: Fields) -> Fields:
    """The file that the parts of an upload give together."""
    held = call.shelf.contents
    content = b"".join(held.get(id_, b"") for id_ in call.fields.get("part_ids", []))
    file: dict[str, Any] = {
        "id": call.objects.new_id("file-"),
        "object": "file",
        "bytes": len(content),
        "created_at": call.created,
        "filename": upload.get("filename"),
        "purpose": upload.get("purpose"),
        "status": "processed",
    }
    held[file["id"]] = content
    call.shelf.put("/files", file)
    return file


# -- answers -----------------------------------------------------------------------------------------------------


def _json(headers: HeaderList, body: Fields) -> Answer:
    return whole(200, headers, msgspec.json.format(msgspec.json.encode(body), indent=2) + b"\n")


def _events(headers: HeaderList, events: list[bytes]) -> Answer:
    return streamed(_with(headers, "text/event-stream; charset=utf-8"), events)


def _response_events(headers: HeaderList, response: Fields) -> Answer:
    answer = _events(headers, responses.events_of(response))
    answer.write_error = write_response_error
    return answer


def _run_events(call: ObjectCall, headers: HeaderList, run: Fields, thread: Fields | None) -> Answer:
    text = f"echo: {call.fields.get('instructions') or ''}"
    answer = _events(headers, run_events(thread, run, call.objects.new_id("msg_"), text))
    answer.write_error = write_typed_error
    return answer


def _with(headers: HeaderList, content_type: str) -> HeaderList:
    return [("content-type", content_type), *[pair for pair in headers if pair[0] != "content-type"]]
