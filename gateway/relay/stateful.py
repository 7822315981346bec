"""Calls that name or make stateful objects: around the relay, what makes them find and keep their account.

list ─▶ merged over accounts | a creation that names nothing ─▶ the owner's home | anything else ─▶ where it is pinned
                             └────── what the answer makes known is learned, late usage counted ───┘
"""

from random import Random
from typing import Final

import msgspec

from gateway.core.affinity import siblings_of
from gateway.core.attempts import ACCOUNT_FAULTS
from gateway.core.errors import AllOutOfQuota, AllRateLimited, CallFailed, NoAccountAvailable, UpstreamTimedOut
from gateway.core.ids import AccountId
from gateway.core.outcome import OutcomeKind
from gateway.core.selection import choose
from gateway.core.snapshot import SelectionStrategy
from gateway.relay.answer import Answer
from gateway.relay.asking_around import AskingAround
from gateway.relay.batch_uploads import BatchUploads
from gateway.relay.board import Board
from gateway.relay.job import Job
from gateway.relay.learning import Learning
from gateway.relay.lists import Lists
from gateway.relay.member import Member
from gateway.relay.ports import Clock
from gateway.relay.restart import RestartingRelay
from gateway.relay.settling import Settling

HOMELESS: Final = frozenset(
    {"response", "realtime_session", "realtime_call", "live_session", "video", "character", "message_batch"}
)
"""What is used by itself alone goes wherever there is room."""
LACKS: Final = frozenset({OutcomeKind.NO_ACCESS_TO_MODEL, OutcomeKind.FORBIDDEN, OutcomeKind.MISSING_PERMISSION})
"""Refusals of an account that another one may not share."""


class StatefulRelay:
    """Calls in, answers out, as `RestartingRelay`, which it asks. One per worker."""

    def __init__(  # noqa: PLR0913  # the parts it works with, by name
        self,
        *,
        relay: RestartingRelay,
        lists: Lists,
        learning: Learning,
        settling: Settling,
        uploads: BatchUploads,
        board: Board,
        clock: Clock,
        rng: Random,
    ) -> None:
        self._relay = relay
        self._lists = lists
        self._learning = learning
        self._settling = settling
        self._uploads = uploads
        self._around = AskingAround(relay=relay.relay_call, board=board, clock=clock)
        self._board = board
        self._clock = clock
        self._rng = rng

    async def relay_call(self, job: Job) -> Answer:
        """As `RestartingRelay.relay_call`."""
        endpoint = job.call.endpoint
        if endpoint.is_list:
            return await self._lists.answer(job)
        is_placed = job.bound is not None and job.bound.is_placed
        if endpoint.is_creating and endpoint.creates not in {None, *HOMELESS} and not is_placed:
            answer = await self._at_home(job)
        else:
            answer = await self._relay.relay_call(job)
        answer = await self._around.answer(job, answer)
        answer = await self._learning.learned(answer, job.call, job.bound, job.progress)
        if job.upload is not None:
            answer = await self._uploads.noted(answer, job.upload)
        return await self._settling.settled(answer, job.call, job.bound, job.progress)

    async def _at_home(self, job: Job) -> Answer:
        """The owner's home, or what takes its place while that cannot take the call; at last whoever can."""
        tried: set[AccountId] = set()
        lacking: Answer | None = None
        while True:
            home = self._home(job, tried)
            if home is None:
                return lacking or await self._relay.relay_call(job)
            tried |= home
            job.progress.last = None
            try:
                answer = await self._relay.relay_call(self._pinned(job, home))
            except (AllRateLimited, AllOutOfQuota, NoAccountAvailable, UpstreamTimedOut) as error:
                if not _was_refused(job, error):
                    raise
                continue
            if answer.outcome not in LACKS:
                return answer
            lacking = answer

    def _home(self, job: Job, tried: set[AccountId]) -> frozenset[AccountId] | None:
        """By rendezvous of owner and provider over the accounts that are well: with its siblings."""
        pool = job.pool
        for tier in self._board.view(pool, self._clock.now()).tiers:
            found: list[Member] = [member for member in tier if member.account_id not in tried]
            if found:
                key = f"{pool.provider.id}\0{job.call.owner or ''}"
                place = choose(found, SelectionStrategy.CACHE_AFFINITY, rng=self._rng, affinity=key)
                siblings = frozenset(siblings_of(self._board.snapshot, found[place].account))
                return siblings if job.call.pinned is None else siblings & job.call.pinned
        return None

    def _pinned(self, job: Job, home: frozenset[AccountId]) -> Job:
        call = msgspec.structs.replace(job.call, pinned=home, max_wait_s=0.0)
        return msgspec.structs.replace(job, call=call, pool=self._board.pools.pool_for(call))


def _was_refused(job: Job, error: CallFailed) -> bool:
    """Nothing was made: the account rested, or said so itself. A call whose end is unknown is never made again."""
    last = job.progress.last
    if last is None:
        return not isinstance(error, UpstreamTimedOut)
    return last.kind in ACCOUNT_FAULTS
