"""Runs that take their time: an assistant's on a thread, an eval's. Each is over when it is first asked for."""

from gateway.sandbox.objects import Fields

PUT_IN = 7
PUT_OUT = 2
"""Tokens of each run that is waited for."""


def begin(made: Fields) -> Fields:
    """`made`, as it is while nothing has been done; anything else than a run stays as it is."""
    if made["object"] == "thread.run":
        made |= {"status": "queued", "usage": None}
    elif made["object"] == "eval.run":
        made |= {"status": "queued", "per_model_usage": []}
    return made


def finish(run: Fields) -> None:
    if run["object"] == "thread.run":
        run |= {"status": "completed", "usage": _used()}
    else:
        model = (run.get("data_source") or {}).get("model") or "gpt-4"
        run |= {"status": "completed", "per_model_usage": [{"model_name": model, "invocation_count": 1, **_used()}]}


def _used() -> Fields:
    return {"prompt_tokens": PUT_IN, "completion_tokens": PUT_OUT, "total_tokens": PUT_IN + PUT_OUT}
