"""What a limit on tokens charges for a call that asks for so many. Pure."""

from zlib import crc32

from gateway.sandbox.config import LimitRule


def charge_of(rule: LimitRule, tokens: int) -> int:
    """All of it: the same each time, as prompts have the tokens that they have."""
    charge = tokens * rule.charge
    if rule.charge_varies:
        chance = crc32(str(tokens).encode()) / 2**31 - 1
        charge *= 1 + rule.charge_varies * chance
    return max(1, round(charge) + rule.charge_each) if rule.charge_each else round(charge)


def charge_at_once(rule: LimitRule, tokens: int) -> int:
    """Before the call is admitted; the rest when its answer is done."""
    return charge_of(rule, tokens) - round(charge_of(rule, tokens) * rule.charged_later)
