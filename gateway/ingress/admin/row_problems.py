"""`/api/v1/problems`: rows that are skipped, or look wrong, as the current snapshot found them."""

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency

from gateway.core.snapshot import RowProblem
from gateway.ingress.admin.deps import AdminDeps
from gateway.ingress.admin.operations import errors


class ProblemList(msgspec.Struct, frozen=True):
    data: list[RowProblem]
    total: int
    snapshot_version: int
    """Counts up with each change that the answering worker has taken over."""


class ProblemsController(Controller):
    path = "/problems"
    tags = ("problems",)

    @get(summary="List rows that are skipped", responses=errors())
    async def list_problems(self, deps: NamedDependency[AdminDeps]) -> ProblemList:
        """Needs no database: it is what serves now."""
        snapshot = deps.snapshot()
        return ProblemList(list(snapshot.problems), len(snapshot.problems), snapshot.version)
