"""Responses that do more than answer: they go on in the background, add to a conversation, or act upon the world.

Such a call must not be made twice by mistake (SPEC §4): it is a creating one.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.core.call import Endpoint

ACTING_TOOLS: Final = frozenset({"mcp", "code_interpreter", "shell"})
"""Types of tools that the upstream itself runs and that change something. Functions are run by the caller; searches and
images leave nothing behind."""


def acts(fields: Mapping[str, Any]) -> bool:
    """Whether a decoded request for a response asks for more than an answer."""
    if fields.get("background") is True or fields.get("conversation") is not None:
        return True
    tools = fields.get("tools")
    return isinstance(tools, list) and any(_type_of(tool) in ACTING_TOOLS for tool in tools)


def as_creating(endpoint: Endpoint) -> Endpoint:
    """The row for such a call."""
    return msgspec.structs.replace(endpoint, is_creating=True)


def _type_of(tool: object) -> str | None:
    type_ = tool.get("type") if isinstance(tool, dict) else None
    return type_ if isinstance(type_, str) else None
