import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.retry_budget import RetryBudget, may_retry


@pytest.mark.parametrize(
    ("retries", "calls", "expected"),
    [
        pytest.param(0, 1, True, id="a-lone-call-may"),
        pytest.param(2, 3, True, id="three-at-once-always"),
        pytest.param(3, 3, False, id="a-fourth-not"),
        pytest.param(3, 19, False, id="below-twenty-calls-three"),
        pytest.param(3, 20, True, id="a-fifth-of-twenty-is-four"),
        pytest.param(4, 20, False, id="and-no-more"),
        pytest.param(199, 1000, True, id="a-fifth-of-many"),
        pytest.param(200, 1000, False, id="a-fifth-of-many-and-no-more"),
    ],
)
def test_retries_are_a_fifth_of_the_calls_in_flight_and_at_least_three(retries, calls, expected):
    assert may_retry(retries, calls) is expected


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_retries_never_pass_the_budget(calls, tries):
    budget = RetryBudget()
    retries = 0
    for _ in range(min(tries, 300)):
        retries += may_retry(retries, calls, budget)

    assert retries <= max(3, 0.2 * calls)
