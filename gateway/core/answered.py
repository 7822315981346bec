"""What a window surely has left, whatever each call was charged: what answers told, less what none of them knew of.

Rules of this file:
- an answer tells what was left when its call was admitted. What was sent well before that call had been admitted too;
  of what was sent with it and since nobody knows, but of each call that is answered itself: it is in what that answer
  told, or in the lowest that any of them did;
- so once all calls are answered what is left is known exactly, however wrong the estimates were.

Mutable; one per level of tokens. Amounts are tokens as we estimate them.
"""

from typing import NamedTuple

from gateway.core.places import Place

NOTHING = -1e30
"""Nobody told of anything that is left."""


class _Answer(NamedTuple):
    tokens: int
    """Its call's place."""
    charged: int
    left: float
    """When its call was admitted; less by all that the window had given back before."""
    vague: float


class Answered:
    """Of one window. Starts with no answers."""

    __slots__ = ("_answers", "_charged", "_least", "_mark", "newest", "vague")

    def __init__(self) -> None:
        self._answers: list[_Answer] = []
        """Those whose calls were sent since `_mark`."""
        self._mark = 0
        """What had been sent by then was admitted before the newest answer's call."""
        self.newest = 0
        """That call's place."""
        self._charged, self._least, self.vague = 0, NOTHING, 0.0

    def hear(self, place: Place, left: float, freed: float, vague: float) -> None:
        """An answer told that so much was left. `freed`: what the window had surely given back by then; of `vague` of
        that nobody knows.
        """
        self.newest = max(self.newest, place.at)
        if place.mark > self._mark:
            self._mark = place.mark
            kept = [answer for answer in self._answers if answer.tokens > place.mark]
            self.forget()
            for answer in kept:
                self._add(answer)
        if place.at > self._mark:
            self._add(_Answer(place.at, place.charged, left - freed, vague))

    def _add(self, answer: _Answer) -> None:
        self._answers.append(answer)
        self._charged += answer.charged
        self._least = answer.left if len(self._answers) == 1 else min(self._least, answer.left)
        self.vague += answer.vague

    def forget(self) -> None:
        """What they told holds no more."""
        self._answers = []
        self._charged, self._least, self.vague = 0, NOTHING, 0.0

    @property
    def is_empty(self) -> bool:
        return not self._answers

    def unanswered(self, sent: int) -> int:
        """Of what was sent, that of which no answer is known to know. `sent`: the scope's tokens by some moment."""
        return sent - self._mark - self._charged

    def left(self, freed: float) -> float:
        """Without what is unanswered. `freed`: all that the window has given back by now."""
        return self._least + freed
