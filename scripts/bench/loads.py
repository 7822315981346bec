"""The ways of asking."""

import json
from dataclasses import dataclass

CHUNKS = 100
"""Events of one stream, [DONE] not counted."""


@dataclass(frozen=True)
class Load:
    """One way of asking."""

    name: str
    connections: int
    is_stream: bool = False
    marker: str = ""
    """Goes into the body: the mock paces a stream that has `bench-paced` in it."""
    rate: float = 0.0
    """Calls a second; 0 is a closed loop."""

    def body(self) -> bytes:
        """About 0.5 kB."""
        fields: dict[str, object] = {"model": "gpt-4"}
        if self.is_stream:
            fields["stream"] = True
        if self.marker:
            fields["user"] = self.marker
        messages = [{"role": "user", "content": "How much does a call cost? " * 15}]
        return json.dumps({**fields, "messages": messages}, separators=(",", ":")).encode()


LOADS = (
    Load("c32", 32),
    Load("burst", 4, is_stream=True),
    Load("paced", 24, is_stream=True, marker="bench-paced"),
)
MORE_LOADS = (Load("c128", 128), Load("light60", 32, rate=60), Load("c1", 1))
