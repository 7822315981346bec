import pytest

from gateway.core import errors
from gateway.core.errors import CallFailed, CallRefused, GatewayError

TREE = [
    (errors.InvalidCall, CallRefused, 400, "invalid_request_error", "invalid_request"),
    (errors.Unauthenticated, CallRefused, 401, "invalid_request_error", "invalid_api_key"),
    (errors.NotAllowed, CallRefused, 403, "invalid_request_error", "not_allowed"),
    (errors.ModelNotFound, CallRefused, 404, "invalid_request_error", "model_not_found"),
    (errors.EndpointNotFound, CallRefused, 404, "invalid_request_error", "unknown_url"),
    (errors.ObjectNotFound, CallRefused, 404, "invalid_request_error", "object_not_found"),
    (errors.LimitReached, CallRefused, 429, "rate_limit_error", "rate_limit_exceeded"),
    (errors.AllRateLimited, CallFailed, 429, "rate_limit_error", "rate_limit_exceeded"),
    (errors.AllOutOfQuota, CallFailed, 429, "insufficient_quota", "insufficient_quota"),
    (errors.UpstreamFailed, CallFailed, 502, "server_error", "upstream_error"),
    (errors.AllOverloaded, CallFailed, 503, "service_unavailable_error", "server_is_overloaded"),
    (errors.NoAccountAvailable, CallFailed, 503, "service_unavailable_error", "no_account_available"),
    (errors.ShuttingDown, CallFailed, 503, "service_unavailable_error", "shutting_down"),
    (errors.NoDiskSpace, CallFailed, 503, "server_error", "no_disk_space"),
    (errors.UpstreamTimedOut, CallFailed, 504, "server_error", "upstream_timeout"),
]


@pytest.mark.parametrize(("kind", "side", "status", "type_", "code"), TREE, ids=[row[0].__name__ for row in TREE])
def test_every_end_of_a_call_has_its_status_type_and_code(kind, side, status, type_, code):
    error = kind("why")

    assert isinstance(error, side)
    assert (error.status, error.type, error.code) == (status, type_, code)
    assert (error.message, str(error), error.param, error.retry_after_s) == ("why", "why", None, None)


def test_the_table_above_is_the_whole_tree():
    leaves = {kind for side in (CallRefused, CallFailed) for kind in side.__subclasses__()}

    assert leaves == {row[0] for row in TREE}
    assert set(GatewayError.__subclasses__()) == {CallRefused, CallFailed}


def test_one_error_may_say_more_than_its_class():
    error = errors.InvalidCall("too long", param="body", code="request_too_large", status=413, retry_after_s=2.0)

    assert (error.status, error.code, error.param, error.retry_after_s) == (413, "request_too_large", "body", 2.0)
    assert (errors.InvalidCall.status, errors.InvalidCall.code) == (400, "invalid_request")


def test_sdks_are_told_not_to_repeat_what_time_does_not_help():
    assert errors.AllOutOfQuota("no money").should_retry is False
    assert errors.AllRateLimited("later").should_retry is None
