"""Looks for what only a provider's dashboard makes, prompts and workflows: by the call itself, account by account.

Nothing reads such an object by its id, but a call that names one which is not there is refused before anything is done,
in words that name it. So the call goes on to the next project, until one takes it; from then on the id is known.

Rules of this file: only a refusal that names the id moves a call on; an account that could not be asked leaves it
unsure, which the caller is told; what nobody had is believed for a minute.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from gateway.core.affinity import MADE_BY_HAND, Bound, Reference, one_of_each_realm
from gateway.core.errors import CallFailed
from gateway.core.ids import AccountId, Instant
from gateway.relay.answer import Answer
from gateway.relay.board import Board
from gateway.relay.job import Job
from gateway.relay.ports import Clock

MOST: Final = 32
"""Projects that one call is shown to."""
MISS_S: Final = 60.0
MAX_MISSES: Final = 10_000
NOT_THERE: Final = frozenset({400, 404})

RelayCall = Callable[[Job], Awaitable[Answer]]


class AskingAround:
    """One per worker."""

    def __init__(self, *, relay: RelayCall, board: Board, clock: Clock) -> None:
        self._relay = relay
        self._board = board
        self._clock = clock
        self._misses: dict[str, Instant] = {}
        """Id → believed until when that nobody has it. Oldest first."""

    async def answer(self, job: Job, first: Answer) -> Answer:
        """`first`, or what a project says that has what the call names. Raises GatewayError."""
        wanted = _wanted(job.bound)
        if not wanted or not _lacks(first, wanted):
            return first
        now = self._clock.now()
        if any(self._misses.get(one.id, now) > now for one in wanted):
            return first
        unsure: CallFailed | None = None
        for group in self._others(job):
            job.progress.last = None
            try:
                answer = await self._relay(self._for(job, group))
            except CallFailed as error:
                unsure = error
                continue
            if not _lacks(answer, wanted):
                return answer
        if unsure is not None:
            raise unsure
        for one in wanted:
            self._misses.pop(one.id, None)
            self._misses[one.id] = Instant(self._clock.now() + MISS_S)
            if len(self._misses) > MAX_MISSES:
                del self._misses[next(iter(self._misses))]
        return first

    def _others(self, job: Job) -> list[tuple[AccountId, ...]]:
        """Projects of the call's pool but the one that has just refused it."""
        groups = one_of_each_realm(self._board.snapshot, [member.account for member in job.pool.members])
        return [group for group in groups if job.progress.account_id not in group][:MOST]

    def _for(self, job: Job, group: tuple[AccountId, ...]) -> Job:
        call = msgspec.structs.replace(job.call, pinned=frozenset(group), max_wait_s=0.0)
        return msgspec.structs.replace(job, call=call, pool=self._board.pools.pool_for(call))


def _wanted(bound: Bound | None) -> Sequence[Reference]:
    unknown = () if bound is None else bound.unknown
    return [one for one in unknown if one.kind in MADE_BY_HAND]


def _lacks(answer: Answer, wanted: Sequence[Reference]) -> bool:
    return answer.status in NOT_THERE and any(one.id.encode("utf-8", "replace") in answer.body for one in wanted)
