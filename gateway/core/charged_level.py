"""A level of tokens that calls are charged at admission: it learns what the upstream charges for one of ours."""

from gateway.core.charge import Charge, Factor
from gateway.core.freeing import BUCKET, SLIDING
from gateway.core.hints import Quota
from gateway.core.ids import NEVER, Instant
from gateway.core.level import Level
from gateway.core.places import Place
from gateway.core.shares import HEARD_SOON_S


class ChargedLevel(Level):
    """Starts with the factor that other limits of the provider's model have found."""

    __slots__ = ("_charge",)

    def __init__(self, limit: float, now: Instant, factor: Factor) -> None:
        self._charge = Charge(factor)
        super().__init__(limit, now, factor=factor.value)

    def learn_late(self, quota: Quota, place: Place, *, sent_at: Instant, freed: float) -> None:
        """What the answer tells to a call that was overtaken by one that was answered before."""
        if quota.remaining is not None and sent_at >= self._began and self.kind is not BUCKET:
            self._hear_charge(quota.remaining, place, freed, sent_at)

    def _note_verdict(self, remaining: float, place: Place, *, is_success: bool) -> None:
        self._charge.note(place, remaining, is_success=is_success)
        self.margin = self._charge.shared.margin

    def _hear_charge(self, remaining: float, place: Place, freed: float, sent_at: Instant) -> None:
        if self.kind is BUCKET:
            self._hear_bucket(self.told_limit - remaining, place, sent_at)
        else:
            self._hear_window(remaining / self.factor, place, freed, sent_at)
        if self.factor != self._charge.shared.value:
            self.factor, before = self._charge.shared.value, self.factor
            scale = before / self.factor
            self.limit, self.left, self.rate = self.limit * scale, self.left * scale, self.rate * scale
            self._forget_answers()

    def _hear_bucket(self, raw_used: float, place: Place, sent_at: Instant) -> None:
        if self.shares is None or self.shares.heard_s <= HEARD_SOON_S:  # of replicas' calls too little is known
            self._charge.lose(raw_used, self._way.bucket_rate, sent_at, self.told_limit, place)

    def _hear_window(self, left: float, place: Place, freed: float, sent_at: Instant) -> None:
        charge, watched_at, vague, freed_by_now = self._charge, self._began, 0.0, 0.0
        if self.kind is SLIDING:
            watched_at = self._watched_at + self._period_s
            vague = self._ledger.vague_after(sent_at, self._guard.seconds)
            freed, freed_by_now = freed + vague, self.freed
        charge.answered.hear(place, left, freed if freed_by_now else 0.0, vague)
        if sent_at >= watched_at > NEVER:
            charge.compare(self.held, freed_by_now, self.limit, self.factor, place)
        # Where estimates are right they are as good, and hold where calls take long. Of what other processes
        # sent just now nobody has heard.
        if self.shares is None and (charge.shared.varies or self.factor != 1.0):
            self.left = min(self.limit, max(self.left, charge.surely_left(freed_by_now, place)))

    def _forget_answers(self) -> None:
        self._charge.answered.forget()
