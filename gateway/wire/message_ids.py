"""Ids in calls and answers of Anthropic's API: files and containers, at the places where its own objects stand.

Rules of this file: what a tool is called with (`input`) holds the caller's own names, and is never looked into; ids are
soft, for Anthropic's files and containers cannot be looked for without its betas.
"""

from collections.abc import Mapping
from typing import Any, Final

from gateway.core.affinity import FILES, LONGEST_ID, Reference
from gateway.core.ids import ModelName
from gateway.wire.places import EACH, Names, renamed_at
from gateway.wire.refusals import check_references

CONTAINERS: Final = "containers"
MEMBERS: Final[Mapping[str, str]] = {"file_id": FILES, "container": CONTAINERS, "skill_id": "skills"}
"""Member → kind. Its value is an id, or an object with an `id`."""
NEEDLES: Final = (b'"file_id"', b'"container"', b"code_execution", b'"skills"')
"""Without one of them a message names nothing, and its answer makes nothing known."""
_IN_CALLS: Final = frozenset({"messages", "content", "source", "requests", "params", "system", "container", "skills"})
_IN_ANSWERS: Final = frozenset({"content", "content_block", "message", "delta"})
"""Members that may hold objects with ids."""
BATCH_MODEL: Final = ("requests", EACH, "params", "model")
_VENDORS: Final = "anthropic"
"""Type of a skill that everybody has."""


def read_message_references(fields: Mapping[str, Any]) -> list[Reference]:
    """What a decoded body names, each once. Raises InvalidCall for more than we look up."""
    found = _ids_in(fields, _IN_CALLS)
    check_references(len(found))
    return [Reference(id_, kind, param, is_soft=True) for id_, (kind, param) in found.items()]


def read_batch_models(fields: Mapping[str, Any]) -> tuple[ModelName, ...]:
    """The models that the calls of a batch ask for, each once; none for what is no batch."""
    found: dict[ModelName, None] = {}
    requests = fields.get("requests")
    for request in requests if isinstance(requests, list) else ():
        params = request.get("params") if isinstance(request, dict) else None
        model = params.get("model") if isinstance(params, dict) else None
        if isinstance(model, str) and model.strip():
            found.setdefault(ModelName(model))
    return tuple(found)


def renamed_batch_models(body: bytes, names: Names) -> bytes:
    """A batch whose calls ask for models by other names; all other bytes as they were."""
    return renamed_at(body, (BATCH_MODEL,), names) if names else body


def read_message_ids(body: Mapping[str, Any]) -> dict[str, str]:
    """Ids that an answer, or an event of one, makes known → kind."""
    return {id_: kind for id_, (kind, _) in _ids_in(body, _IN_ANSWERS).items()}


def _ids_in(value: Mapping[str, Any], looked_into: frozenset[str]) -> dict[str, tuple[str, str]]:
    """Id → its kind and its place."""
    found: dict[str, tuple[str, str]] = {}
    left: list[tuple[Any, str]] = [(value, "")]
    while left:
        held, path = left.pop()
        if isinstance(held, list):
            left += [(one, f"{path}[{place}]") for place, one in enumerate(held) if isinstance(one, dict | list)]
            continue
        prefix = f"{path}." if path else ""
        for name, member in held.items():
            if name in MEMBERS and not (name == "skill_id" and held.get("type") == _VENDORS):
                id_ = member.get("id") if isinstance(member, dict) else member
                if isinstance(id_, str) and 0 < len(id_) <= LONGEST_ID:
                    found.setdefault(id_, (MEMBERS[name], prefix + name))
            if name in looked_into and isinstance(member, dict | list):
                left.append((member, prefix + name))
    return found
