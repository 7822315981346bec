import pytest

from gateway.sandbox.charging import charge_at_once, charge_of
from gateway.sandbox.config import KeyConfig, LimitRule
from gateway.sandbox.limits import Limits

KEY = KeyConfig(org="org-1", project="proj_1")


def test_by_default_what_is_asked_for_is_charged_at_once():
    assert charge_of(LimitRule(tokens=1000), 123) == charge_at_once(LimitRule(tokens=1000), 123) == 123


def test_a_call_may_be_charged_another_share_of_its_estimate():
    assert charge_of(LimitRule(tokens=1000, charge=0.7), 100) == 70


@pytest.mark.parametrize(("each", "charge"), [(16, 86), (-16, 54), (-100, 1)])
def test_each_call_may_be_charged_more_or_less(each, charge):
    assert charge_of(LimitRule(tokens=1000, charge=0.7, charge_each=each), 100) == charge


def test_charges_vary_and_are_the_same_for_the_same_call():
    rule = LimitRule(tokens=1000, charge=2.0, charge_varies=0.3)
    charges = [charge_of(rule, tokens) / tokens for tokens in range(100, 2000)]

    assert all(1.39 <= one <= 2.61 for one in charges)
    assert min(charges) < 1.5
    assert max(charges) > 2.5
    assert sum(charges) / len(charges) == pytest.approx(2.0, rel=0.05)
    assert charge_of(rule, 150) == charge_of(rule, 150)


def test_some_of_it_may_be_charged_when_the_answer_is_done():
    limits = Limits((LimitRule(tokens=1000, charge=1.2, charged_later=0.25),), charges_refused=True)

    verdict = limits.admit(KEY, "gpt-4o", 500, 0.0)
    assert verdict.readings[0].remaining == 1000 - 450

    limits.settle(verdict, 0.0)
    assert limits.admit(KEY, "gpt-4o", 0, 0.0).readings[0].remaining == 1000 - 600
