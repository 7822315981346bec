"""The OpenAPI pages: `/schema` (Swagger UI from files of ours) and `/schema/openapi.json`.

Rules of this file: the pages ask no other machine for anything (the Content-Security-Policy forbids it, too), and they
are behind the same token as the admin API.
"""

from pathlib import Path
from typing import Any

from litestar import Request, Router, get
from litestar.datastructures import CacheControlHeader, ResponseHeader
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import Components, License, SecurityScheme, Tag
from litestar.params import FromPath
from litestar.response import File

from gateway.core.ids import Secret
from gateway.ingress.admin.access import page_guard
from gateway.ingress.admin.problems import PROBLEM_HANDLERS

FILES = Path(__file__).parent / "static" / "swagger-ui"

_FILES = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
"""What the page loads; nothing else of the folder is served."""

_CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Swagger UI sets style attributes
        "img-src 'self' data:",  # its icons are data: URLs
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

_PAGE = b"""<!doctype html>
<html lang="en" data-schema="/schema/openapi.json">
<head>
<meta charset="utf-8">
<title>Gateway API</title>
<link rel="icon" type="image/png" href="/schema/ui/favicon-32x32.png">
<link rel="stylesheet" href="/schema/ui/swagger-ui.css">
<link rel="stylesheet" href="/schema/ui/page.css">
</head>
<body>
<div id="ui"></div>
<script src="/schema/ui/swagger-ui-bundle.js"></script>
<script src="/schema/ui/start.js"></script>
</body>
</html>
"""

_DESCRIPTION = """\
The admin API of the gateway: providers, accounts, routes and client keys, which are rows in Postgres. A change serves
on every worker and replica within a second.

Where an admin token is set (`GATEWAY_ADMIN_TOKEN`), send it as `Authorization: Bearer ...`; without one the API is open
on loopback alone. Every answer that is not a success is a problem body (RFC 9457) with a stable `code`. Credentials go
in and never come out: answers show `sk-...abcd`.
"""

_TAGS = [
    Tag(name="providers", description="Upstream services: base URL, authentication, settings."),
    Tag(name="accounts", description="Identities at a provider, each with its own rate limits and health."),
    Tag(name="routes", description="Model pattern → provider, upstream model, fallbacks."),
    Tag(name="keys", description="Client keys, which callers of `/v1` present."),
    Tag(name="problems", description="Rows that were skipped, and why."),
    Tag(name="calls", description="The newest calls: who was tried, what came of it, how long it took."),
]


class _SwaggerPage(OpenAPIRenderPlugin):
    def __init__(self) -> None:
        super().__init__(path="/", favicon="", style="")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002  # Litestar's signature
        return _PAGE


def schema_config(version: str, admin_token: Secret | None, *, is_loopback: bool) -> OpenAPIConfig:
    """For `Litestar(openapi_config=...)`: describes every handler of the app that does not opt out."""
    return OpenAPIConfig(
        title="LLM gateway",
        version=version,
        description=_DESCRIPTION,
        license=License(name="MIT", identifier="MIT"),
        tags=_TAGS,
        use_handler_docstrings=True,
        components=Components(security_schemes={"admin_token": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"admin_token": []}],
        render_plugins=[_SwaggerPage()],
        openapi_router=_router(admin_token, is_loopback=is_loopback),
    )


@get("/ui/{name:str}", cache_control=CacheControlHeader(max_age=3600, private=True))
async def _file(name: FromPath[str]) -> File:
    media_type = _FILES.get(name)
    if media_type is None:
        raise NotFoundException
    return File(FILES / name, filename=name, content_disposition_type="inline", media_type=media_type)


def _router(admin_token: Secret | None, *, is_loopback: bool) -> Router:
    return Router(
        path="/schema",
        route_handlers=[_file],
        guards=[page_guard(admin_token, is_loopback=is_loopback)],
        exception_handlers=PROBLEM_HANDLERS,
        response_headers=[
            ResponseHeader(name="content-security-policy", value=_CSP),
            ResponseHeader(name="x-content-type-options", value="nosniff"),
            ResponseHeader(name="referrer-policy", value="no-referrer"),
        ],
        include_in_schema=False,
    )
