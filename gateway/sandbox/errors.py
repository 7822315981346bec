"""Named errors with the bodies that OpenAI (and a few others) send. Source: reference/openai-api.md §3.2.

Texts may hold {model}, {org}, {project} and {key} (masked as OpenAI masks it).
"""

import re

import msgspec

_PLACE = re.compile(r"\{(model|org|project|key)\}")


class ErrorKind(msgspec.Struct, frozen=True):
    """One error as a provider words it."""

    status: int
    message: str
    type: str | None = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    html: bool = False
    """The message is the whole body, a page of some proxy on the way."""


class Names(msgspec.Struct, frozen=True):
    """What a text may mention."""

    model: str = ""
    org: str = ""
    project: str = ""
    key: str = ""


_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
)
_RATE = (
    "Rate limit reached for {model} in organization {org} on %s. Visit https://platform.openai.com/account/rate-limits."
)
_PAGE = (
    "<html>\r\n<head><title>%s</title></head>\r\n<body>\r\n<center><h1>%s</h1></center>\r\n<hr>"
    "<center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
)


def _page(title: str) -> str:
    return _PAGE % (title, title)


ERRORS: dict[str, ErrorKind] = {
    # 400: the call itself
    "bad_request": ErrorKind(400, "Unrecognized request argument supplied: sandbox"),
    "context_length_exceeded": ErrorKind(
        400,
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 8227 tokens. "
        "Please reduce the length of the messages.",
        code="context_length_exceeded",
        param="messages",
    ),
    "content_filter": ErrorKind(
        400,
        "Your request was rejected as a result of our safety system. Your prompt may contain text that is not allowed "
        "by our safety system.",
        code="content_policy_violation",
    ),
    "invalid_prompt": ErrorKind(
        400, "Invalid prompt: your prompt was flagged as potentially violating our usage policy.", code="invalid_prompt"
    ),
    "billing_hard_limit": ErrorKind(400, "Billing hard limit has been reached", code="billing_hard_limit_reached"),
    "service_tier": ErrorKind(
        400, "Invalid service_tier argument: this tier is not available to your project.", param="service_tier"
    ),
    "unprocessable": ErrorKind(422, "Input should be a valid string"),
    "conflict": ErrorKind(409, "The conversation is locked by another request.", code="conversation_locked"),
    # 401, 403, 404: the credential, the account, the address
    "invalid_api_key": ErrorKind(
        401,
        "Incorrect API key provided: {key}. You can find your API key at https://platform.openai.com/account/api-keys.",
        code="invalid_api_key",
    ),
    "missing_api_key": ErrorKind(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY).",
    ),
    "account_deactivated": ErrorKind(
        401,
        "Your OpenAI account has been deactivated, please check your email for more information. If you feel this is "
        "an error, contact us through our help center at help.openai.com.",
        code="account_deactivated",
    ),
    "not_a_member": ErrorKind(
        401, "You must be a member of an organization to use the API. Please contact us through our help center."
    ),
    "ip_not_authorized": ErrorKind(
        401, "Your IP is not authorized for this project.", type=None, code="ip_not_authorized"
    ),
    "missing_scope": ErrorKind(
        401,
        "You have insufficient permissions for this operation. Missing scopes: model.request. Check that you have the "
        "correct role in your organization, and if you're using a restricted API key, that it has the needed scopes.",
        code="missing_scope",
    ),
    "insufficient_permissions": ErrorKind(
        403,
        "You have insufficient permissions for this operation. Missing scopes: model.request.",
        code="insufficient_permissions",
    ),
    "model_not_found": ErrorKind(
        404, "The model `{model}` does not exist or you do not have access to it.", code="model_not_found"
    ),
    "no_access_to_model": ErrorKind(
        403, "Project `{project}` does not have access to model `{model}`", code="model_not_found"
    ),
    "unsupported_region": ErrorKind(
        403,
        "Country, region, or territory not supported",
        type="request_forbidden",
        code="unsupported_country_region_territory",
    ),
    "not_found": ErrorKind(404, "No such File object: file-sandbox", param="id"),
    # 402, 429: money
    "insufficient_balance": ErrorKind(402, "Insufficient Balance", type="unknown_error", code="invalid_request_error"),
    "insufficient_quota": ErrorKind(429, _QUOTA, "insufficient_quota", "insufficient_quota"),
    "credit_balance_exhausted": ErrorKind(429, _QUOTA, "insufficient_quota", "credit_balance_exhausted"),
    "organization_spend_limit": ErrorKind(429, _QUOTA, "insufficient_quota", "organization_spend_limit_exceeded"),
    "project_spend_limit": ErrorKind(429, _QUOTA, "insufficient_quota", "project_spend_limit_exceeded"),
    # 429: rates
    "rate_limited": ErrorKind(429, _RATE % "requests per min (RPM)", "requests", "rate_limit_exceeded"),
    "tokens_limited": ErrorKind(429, _RATE % "tokens per min (TPM)", "tokens", "rate_limit_exceeded"),
    "rate_limited_per_day": ErrorKind(429, _RATE % "requests per day (RPD)", "requests", "rate_limit_exceeded"),
    "too_large": ErrorKind(
        429,
        "Request too large for {model} in organization {org} on tokens per min (TPM): Limit 30000, Requested 31538. "
        "The input or output tokens must be reduced in order to run successfully.",
        "tokens",
        "rate_limit_exceeded",
    ),
    "slow_down": ErrorKind(
        429, "Your request rate has increased too quickly. Please slow down.", "rate_limit_error", "slow_down"
    ),
    "engine_overloaded": ErrorKind(
        429, "The engine is currently overloaded, please try again later", "server_error", "engine_overloaded"
    ),
    # 5xx: the provider
    "server_error": ErrorKind(
        500,
        "The server had an error while processing your request. Sorry about that! You can retry your request, or "
        "contact us through our help center at help.openai.com if the error persists.",
        "server_error",
    ),
    "bad_gateway": ErrorKind(502, "Bad gateway.", "server_error", "502"),
    "overloaded": ErrorKind(
        503,
        "Our servers are currently overloaded. Please try again later.",
        "service_unavailable_error",
        "server_is_overloaded",
    ),
    "overloaded_529": ErrorKind(529, "Overloaded", "overloaded_error"),
    "html_502": ErrorKind(502, _page("502 Bad Gateway"), html=True),
    "html_403": ErrorKind(403, _page("403 Forbidden"), html=True),
    "html_520": ErrorKind(520, _page("520: Web server is returning an unknown error"), html=True),
}


def masked_key(key: str) -> str:
    """As OpenAI masks a wrong key in its 401: the first 8 and the last 4 characters, stars between."""
    return f"{key[:8]}{'*' * (len(key) - 12)}{key[-4:]}" if len(key) > 12 else "*" * len(key)


def worded(kind: ErrorKind, names: Names) -> str:
    shown = {"model": names.model, "org": names.org, "project": names.project, "key": masked_key(names.key)}
    return _PLACE.sub(lambda place: shown[place[1]], kind.message)


def write_error(kind: ErrorKind, message: str) -> bytes:
    """The body: a page, or OpenAI's error object, indented as OpenAI sends it."""
    if kind.html:
        return message.encode()
    error = {"message": message, "type": kind.type, "param": kind.param, "code": kind.code}
    return msgspec.json.format(msgspec.json.encode({"error": error}), indent=4) + b"\n"


def write_error_event(kind: ErrorKind, message: str) -> bytes:
    """The same within a stream, after its 200."""
    error = {"message": message, "type": kind.type, "param": kind.param, "code": kind.code}
    return b"data: " + msgspec.json.encode({"error": error}) + b"\n\n"
