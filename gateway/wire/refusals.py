"""`InvalidCall`s in OpenAI's words and with its codes: callers have code that reads them."""

from typing import Final

from gateway.core.errors import InvalidCall

_KINDS: Final = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal number",
    type(None): "null",
}


def kind_of(value: object) -> str:
    """How OpenAI's messages name the kind of a decoded JSON value."""
    return _KINDS.get(type(value), "an unknown value")


def wrong_type(param: str, expected: str, value: object) -> InvalidCall:
    """`expected` with its article: "a decimal"."""
    return InvalidCall(
        f"Invalid type for '{param}': expected {expected}, but got {kind_of(value)} instead.",
        param=param,
        code="invalid_type",
    )


def missing(param: str) -> InvalidCall:
    return InvalidCall(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


MOST_REFERENCES: Final = 10_000
"""Of one call. A long conversation sent whole has hundreds: its reasoning."""


def check_references(count: int) -> None:
    """Raises InvalidCall for more ids than one call may name: none is passed over."""
    if count > MOST_REFERENCES:
        raise InvalidCall(f"The call names more than {MOST_REFERENCES} objects.", code="too_many_references")


def two_models(where: str) -> InvalidCall:
    """`where`: "form"."""
    return InvalidCall(f"The {where} names two models: name one.", param="model", code="invalid_value")


def missing_model() -> InvalidCall:
    """The error of a call that names no model where no default serves."""
    return InvalidCall("You must provide a model parameter.", param="model", code="missing_required_parameter")


def needs(param: str, other: str) -> InvalidCall:
    return InvalidCall(
        f"The '{param}' parameter is only allowed when '{other}' is true.", param=param, code="invalid_value"
    )


def not_supported(param: str, value: str, supported: str) -> InvalidCall:
    shown = value if len(value) <= 40 else f"{value[:40]}…"
    return InvalidCall(
        f"Invalid value: '{shown}'. Supported values are: {supported}.", param=param, code="invalid_value"
    )


def too_small(param: str, value: float, low: float) -> InvalidCall:
    return _out_of_range(param, value, "below minimum", f">= {low:g}", "below_min")


def too_great(param: str, value: float, high: float) -> InvalidCall:
    return _out_of_range(param, value, "above maximum", f"<= {high:g}", "above_max")


def _out_of_range(param: str, value: float, side: str, expected: str, code: str) -> InvalidCall:
    kind = "integer" if isinstance(value, int) else "decimal"
    got = str(value) if abs(value) < 1e16 else f"{value:.3e}" if abs(value) < 1e300 else "a far greater one"
    return InvalidCall(
        f"Invalid '{param}': {kind} {side} value. Expected a value {expected}, but got {got} instead.",
        param=param,
        code=f"{kind}_{code}_value",
    )


def empty(param: str, kind: str) -> InvalidCall:
    """`kind`: "array" or "string"."""
    return InvalidCall(
        f"Invalid '{param}': empty {kind}. Expected a non-empty {kind}, but got an empty {kind} instead.",
        param=param,
        code=f"empty_{kind}",
    )


def too_long(param: str, kind: str, *, high: int, length: int) -> InvalidCall:
    """`kind`: "array" or "string"."""
    return InvalidCall(
        f"Invalid '{param}': {kind} too long. Expected {kind} with maximum length {high}, "
        f"but got one with length {length} instead.",
        param=param,
        code=f"{kind}_above_max_length",
    )
