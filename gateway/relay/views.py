"""Keeps the view of every pool true: told what changed, or made anew where all may have.

Rules of this file: a call costs no look at every account, and neither does a refusal.
"""

from gateway.core.attempts import Resting
from gateway.core.ids import FOREVER, AccountId, Instant
from gateway.relay.breakers import Breakers
from gateway.relay.healths import Healths
from gateway.relay.member import Member
from gateway.relay.news import News
from gateway.relay.pool import Pool
from gateway.relay.view import View


class Views:
    """One per board."""

    def __init__(self, healths: Healths, breakers: Breakers) -> None:
        self._healths = healths
        self._breakers = breakers
        self.loads: News[AccountId] = News()
        """Accounts that became full (`max_concurrency`), or of which a call ended for which some view waits."""

    def of(self, pool: Pool, now: Instant) -> View:
        """Who of the pool may be tried now."""
        view = pool.view
        if (
            view is None
            or now >= view.valid_until
            or (view.epoch != self._healths.news.epoch and not self._tell(view, pool, now))
        ):
            view = pool.view = self.made(pool, now)
        if view.is_bounded and view.loads_epoch != self.loads.epoch:
            self._tell_loads(view, pool)
        if view.turns.first_at <= now:
            broken = self._breakers.resting(pool, now)
            for member in view.turns.due(now):
                self._place(view, member, now, broken)
        if view.spent.first_at <= now:
            view.restore(now)
        return view

    def made(self, pool: Pool, now: Instant) -> View:
        """The pool's view anew."""
        broken = self._breakers.resting(pool, now)
        view = View(pool.members, self._healths.news.epoch, FOREVER if broken is None else broken.wake_at)
        view.loads_epoch = self.loads.epoch
        for member in pool.members:
            self._place(view, member, now, broken)
        return view

    def _tell(self, view: View, pool: Pool, now: Instant) -> bool:
        """Moves the members that what happened since concerns. False: it concerns all."""
        news = self._healths.news.since(view.epoch)
        if news is None or self._breakers.is_any_open:
            return False
        view.epoch = self._healths.news.epoch
        for scope in news:
            if scope is None:
                return False
            for member in pool.members_of(scope.holder):
                if scope in member.scopes:
                    self._place(view, member, now)
        return True

    def _tell_loads(self, view: View, pool: Pool) -> None:
        news = self.loads.since(view.loads_epoch)
        view.loads_epoch = self.loads.epoch
        found = pool.members if news is None else [member for id_ in set(news) for member in pool.members_of(id_)]
        for member in found:
            view.note_load(member)

    def _place(self, view: View, member: Member, now: Instant, broken: Resting | None = None) -> None:
        rest, changes_at, is_dimmed, is_avoided = broken, FOREVER, False, False
        if self._healths.by_scope:
            own_rest, changes_at = self._healths.rest_of(member, now)
            if own_rest is not None and (broken is None or own_rest.wake_at >= broken.wake_at):
                rest = own_rest
            dimmed_until = self._healths.dimmed_until(member)
            if dimmed_until > now:
                changes_at, is_dimmed = min(changes_at, dimmed_until), True
            avoided_until = self._healths.avoided_until(member)
            if avoided_until > now:
                changes_at, is_avoided = min(changes_at, avoided_until), True
        view.place(member, rest, now, changes_at=changes_at, is_dimmed=is_dimmed, is_avoided=is_avoided)
