"""`/_sandbox/…`: script faults, set behaviours, read the log, from another process. Not for the gateway under test."""

from collections.abc import Callable

import msgspec

from gateway.sandbox.answer import Answer, whole
from gateway.sandbox.config import Behaviour
from gateway.sandbox.faults import Fault
from gateway.sandbox.journal import Seen
from gateway.sandbox.request import Request
from gateway.sandbox.service import Service

PREFIX = "/_sandbox/"
_JSON = [("content-type", "application/json")]


class Scripting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /_sandbox/script`. `key`, `model`, `path` hold for faults that name none of their own."""

    faults: list[Fault] = []
    behaviours: dict[str, Behaviour] = {}
    key: str | None = None
    model: str | None = None
    path: str | None = None


class Logged(msgspec.Struct, frozen=True):
    """One request in `GET /_sandbox/log`. Bodies are base64, and only there with `bodies=1`."""

    number: int
    at: float
    method: str
    path: str
    query: str
    key: str
    org: str
    project: str
    model: str
    is_stream: bool
    status: int | None
    fault: str | None
    head_at: float | None
    ended_at: float | None
    hung_up_at: float | None
    headers: dict[str, str]
    body: bytes | None
    answer: bytes | None


def control(service: Service, add_fault: Callable[[Fault], None], request: Request) -> Answer:
    """The answer to one control request: always JSON."""
    try:
        match request.method, request.path.removeprefix(PREFIX):
            case "POST", "script":
                return _ok(_script(service, add_fault, msgspec.json.decode(request.body, type=Scripting)))
            case "POST", "reset":
                service.reset()
                return _ok({"reset": True})
            case "GET", "log":
                return _ok(_log(service, _query(request)))
            case "GET", "stats":
                return _ok(_stats(service))
            case _:
                return whole(404, _JSON, b'{"error":"POST script, POST reset, GET log, GET stats"}')
    except (msgspec.DecodeError, ValueError) as problem:
        return whole(400, _JSON, msgspec.json.encode({"error": str(problem)}))


def _ok(body: object) -> Answer:
    return whole(200, _JSON, msgspec.json.encode(body))


def _script(service: Service, add_fault: Callable[[Fault], None], scripting: Scripting) -> object:
    for fault in scripting.faults:
        add_fault(aimed(fault, key=scripting.key, model=scripting.model, path=scripting.path))
    service.behaviours = {**scripting.behaviours, **service.behaviours} | scripting.behaviours
    return {"faults": len(scripting.faults), "behaviours": len(scripting.behaviours)}


def aimed(fault: Fault, *, key: str | None, model: str | None, path: str | None) -> Fault:
    """The fault for these requests, where it does not name its own."""
    return msgspec.structs.replace(
        fault,
        key=key if fault.key is None else fault.key,
        model=model if fault.model is None else fault.model,
        path=path if fault.path is None else fault.path,
    )


def _log(service: Service, query: dict[str, str]) -> object:
    after, limit = int(query.get("after", "0")), int(query.get("limit", "1000"))
    wants_bodies = query.get("bodies") == "1"
    found = [seen for seen in service.journal.seen if seen.number > after][:limit]
    return {
        "now": service.clock(),
        "total": service.journal.total,
        "seen": [_logged(seen, wants_bodies=wants_bodies) for seen in found],
    }


def _logged(seen: Seen, *, wants_bodies: bool) -> Logged:
    same = {name: getattr(seen, name) for name in Logged.__struct_fields__ if name not in {"body", "answer"}}
    body, answer = (seen.body, seen.answer) if wants_bodies else (None, None)
    return Logged(**same, body=body, answer=answer)


def _stats(service: Service) -> object:
    counts = service.journal.statuses
    return {
        "now": service.clock(),
        "total": service.journal.total,
        "keys": {key: {str(status): count for status, count in of_key.items()} for key, of_key in counts.items()},
    }


def _query(request: Request) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in request.query.split("&") if "=" in pair)
