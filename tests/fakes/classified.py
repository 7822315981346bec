"""Answers of upstreams, and what they are classified as."""

from datetime import UTC, datetime

from gateway.core.classify import (
    classify,
)
from gateway.core.outcome import ErrorBody

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
INVALID = "invalid_request_error"


def an_error(message="", type_=None, code=None):
    return ErrorBody(message=message, type=type_, code=code, is_readable=True)


def outcome_of(status, message="", type_=None, code=None, headers=None):
    return classify(status, headers or {}, an_error(message, type_, code), wall_now=NOW)


RATE = "Rate limit reached for gpt-4o in organization org-AbCd12345678 on "
