"""Litestar's application for all but calls: admin API, probes, schema pages, home page.

Imported where somebody first asks for a page (`front`): what it imports and makes costs a start 50 ms, and most workers
are never asked.
"""

from litestar import Litestar

from gateway.ingress.admin.deps import AdminDeps
from gateway.ingress.admin.problems import PROBLEM_HANDLERS
from gateway.ingress.admin.router import admin_router
from gateway.ingress.home import home_page
from gateway.ingress.ops import OpsDeps, ops_handlers
from gateway.ingress.schema import schema_config


def pages_app(admin: AdminDeps, ops: OpsDeps) -> Litestar:
    token, is_loopback = admin.admin_token, admin.is_loopback
    return Litestar(
        route_handlers=[
            admin_router(admin),
            *ops_handlers(ops),  # asked for by other spellings (`/health/`), and part of the schema
            home_page(ops.version, token, is_loopback=is_loopback),
        ],
        openapi_config=schema_config(ops.version, token, is_loopback=is_loopback),
        exception_handlers=PROBLEM_HANDLERS,
        logging_config=None,
    )
