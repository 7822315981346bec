"""What was sent on a scope: by this process and by others, and what of it was refused; and each call's place in it.

Mutable; one per scope. Amounts are calls, tokens as they are estimated, and tokens of answers.
"""

from gateway.core.ids import Instant
from gateway.core.places import Place, Places
from gateway.core.uses import CHARGED_TOKENS, OUTPUT, Sent, Totals


class Tally:
    """Starts at nothing."""

    __slots__ = ("_answers", "_foreign", "_places", "_produced", "_tokens", "refused", "requests")

    def __init__(self) -> None:
        self.requests = self._tokens = 0
        """Of all processes, as far as is known here."""
        self._produced = 0
        """Tokens of answers that have ended…"""
        self._answers = 0
        """…which were so many."""
        self._foreign = Totals()
        """Of these, what other processes sent, and what was sent here and not admitted: no window holds it."""
        self.refused = 0
        """Calls that were sent here and not admitted."""
        self._places = Places()

    def take(self, tokens: int, now: Instant) -> None:
        """A call is sent."""
        if now >= self._places.until:
            self._places.note(now, self.requests, self._tokens)
        self.requests += 1
        self._tokens += tokens

    def sent(self, tokens: int, now: Instant, freed: tuple[float, ...]) -> Sent:
        """The place of the call that was just taken. `freed`: what sliding windows had given back by then."""
        return Sent(now, self.requests, self._tokens, freed, self._produced, tokens, self._places.before)

    def produce(self, tokens: int) -> None:
        """An answer of so many tokens has ended."""
        self._produced += tokens
        self._answers += 1

    def refuse(self, tokens: int) -> None:
        """A call of this process was refused."""
        self._foreign = self._foreign.plus(Totals(1, tokens))
        self.refused += 1

    def hear(self, more: Totals) -> None:
        """Another process has sent so much more."""
        grown = max(0, more.tokens)  # calls of others that were refused move nobody's place back
        self.requests += more.requests
        self._tokens += grown
        self._produced += more.produced
        self._foreign = self._foreign.plus(Totals(more.requests, grown, more.produced))

    @property
    def own(self) -> Totals:
        """What this process sent, and was not refused."""
        return Totals(self.requests, self._tokens, self._produced).since(self._foreign)

    @property
    def admitted(self) -> int:
        """Calls, by all processes that are known here."""
        return self.requests - self.refused

    @property
    def average_answer(self) -> float:
        """Tokens; 0.0 = none has ended."""
        return self._produced / self._answers if self._answers else 0.0

    def place(self, dimension: str, sent: Sent, heard_s: float) -> Place:
        """Of a call that was sent, in what that limit counts. `heard_s`: of what others sent is heard so late."""
        if dimension in CHARGED_TOKENS:
            near = self._places.near(sent.at, self._tokens, heard_s)
            return Place(sent.tokens, sent.charged, sent.mark.tokens, near, self._tokens)
        if dimension == OUTPUT:
            return Place(sent.produced, 0, sent.produced, self._produced, self._produced)
        return Place(sent.requests, 1, sent.mark.requests, self.requests, self.requests)
