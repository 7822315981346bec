"""Durations as OpenAI writes them, in headers and messages: Go's `6m0s`, `8.64s`, `12ms`."""

import math


def write_duration(seconds: float) -> str:
    """Rounded up to whole milliseconds, so that who waits that long has waited long enough. Never negative."""
    total_ms = max(0, math.ceil(round(seconds * 1000, 6)))
    if total_ms == 0:
        return "0s"
    if total_ms < 1000:
        return f"{total_ms}ms"
    minutes, rest_ms = divmod(total_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest_ms // 1000}.{rest_ms % 1000:03d}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
