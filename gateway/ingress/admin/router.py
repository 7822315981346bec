"""The admin API as one router: `/api/v1`."""

from typing import Any, Self

from litestar import Router
from litestar.datastructures import ResponseHeader
from litestar.di import Provide

from gateway.ingress.admin.access import admin_guard
from gateway.ingress.admin.account_health import AccountHealthController
from gateway.ingress.admin.accounts import AccountsController
from gateway.ingress.admin.calls import CallsController
from gateway.ingress.admin.deps import AdminDeps
from gateway.ingress.admin.keys import KeysController
from gateway.ingress.admin.operations import MAX_BODY_BYTES
from gateway.ingress.admin.problems import PROBLEM_HANDLERS
from gateway.ingress.admin.providers import ProvidersController
from gateway.ingress.admin.routes import RoutesController
from gateway.ingress.admin.row_problems import ProblemsController


class _OneAppsRouter(Router):
    """Made for one application, which may have it as it is.

    Litestar copies a router that it is given, for others may be given the same one: 50 ms of each worker's start.
    """

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self


def admin_router(deps: AdminDeps) -> Router:
    """Every operation behind the guard, every error a problem body. Give it to one application alone."""
    return _OneAppsRouter(
        path="/api/v1",
        route_handlers=[
            ProvidersController,
            AccountsController,
            AccountHealthController,
            RoutesController,
            KeysController,
            ProblemsController,
            CallsController,
        ],
        guards=[admin_guard(deps.admin_token, is_loopback=deps.is_loopback)],
        dependencies={"deps": Provide(lambda: deps, sync_to_thread=False, use_cache=True)},
        exception_handlers=PROBLEM_HANDLERS,
        request_max_body_size=MAX_BODY_BYTES,
        response_headers=[ResponseHeader(name="cache-control", value="no-store")],
    )
