"""How streams fail, whatever their events are."""

from gateway.sandbox.faults import Fault


def unseen(announced: int, half_an_event: str) -> dict[str, Fault]:
    """Before the first content, which `announced` events go ahead of: no caller may see them."""
    return {
        "reset-behind-the-head": Fault("reset_in_body", after=0),
        "reset-behind-the-announcement": Fault("reset_in_body", after=announced),
        "end-behind-the-announcement": Fault("truncated", after=announced),
        "broken-framing": Fault("truncated_chunk", after=1),
        "error-as-first-event": Fault("stream_error", after=0),
        "error-behind-the-announcement": Fault("stream_error", after=announced),
        "limit-as-first-event": Fault("stream_error", after=0, error="rate_limited"),
        "garbage-as-first-event": Fault("malformed_event", after=0, body=half_an_event),
        "json-error-with-200": Fault("json_error", error="server_error"),
        "nothing-at-all": Fault("empty_body"),
    }


def broken(after: int, half_an_event: str) -> dict[str, Fault]:
    """Behind so many events, when the caller reads already."""
    return {
        "reset": Fault("reset_in_body", after=after),
        "early-end": Fault("truncated", after=after),
        "broken-framing": Fault("truncated_chunk", after=after),
        "error-event": Fault("stream_error", after=after),
        "half-an-event": Fault("malformed_event", after=after, body=half_an_event),
    }
