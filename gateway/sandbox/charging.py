"""What a limit on tokens charges for a call that asks for so many. Pure."""

from zlib import crc32

from gateway.sandbox.config import LimitRule


def charge_of(rule: LimitRule, tokens: int) -> int:
    """All of it: the same each time, as prompts have the tokens that they have."""
    if not rule.charge_varies:
        return round(tokens * rule.charge)
    chance = crc32(str(tokens).encode()) / 2**31 - 1
    return round(tokens * rule.charge * (1 + rule.charge_varies * chance))


def charge_at_once(rule: LimitRule, tokens: int) -> int:
    """Before the call is admitted; the rest when its answer is done."""
    return charge_of(rule, tokens) - round(charge_of(rule, tokens) * rule.charged_later)
