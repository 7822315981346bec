"""The page at `/`: what this is, and where everything else is. Static HTML that asks no other machine for anything."""

from html import escape

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from gateway.core.ids import Secret
from gateway.ingress.admin.access import page_guard
from gateway.ingress.admin.deps import AdminRequest

_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>LLM gateway</title>
<style>body{{font:16px/1.5 sans-serif;max-width:44em;margin:3em auto;padding:0 1em}}code{{background:#eee}}</style>
</head>
<body>
<h1>LLM gateway {version}</h1>
<p>One OpenAI-compatible endpoint in front of many accounts. Give your SDK this base URL:</p>
<p><code>{base_url}v1</code></p>
<ul>
<li><a href="/schema">/schema</a>: the admin API: providers, accounts, routes, client keys, calls</li>
<li><a href="/api/v1/calls?limit=20">/api/v1/calls</a>: the newest calls, with every attempt they made</li>
<li><a href="/v1/models">/v1/models</a>: what can be asked for</li>
<li><a href="/health">/health</a>: how the service is; <a href="/metrics">/metrics</a>: the same for Prometheus</li>
</ul>
<p>The manual is in the folder <code>docs/</code> of the release: <code>api.md</code>, <code>operations.md</code>,
<code>settings.md</code>, <code>errors.md</code>. In a terminal: <code>gateway --help</code>.</p>
</body>
</html>
"""


def home_page(version: str, admin_token: Secret | None, *, is_loopback: bool) -> HTTPRouteHandler:
    """The handler, behind the same guard as `/schema`."""

    @get("/", guards=[page_guard(admin_token, is_loopback=is_loopback)], include_in_schema=False, sync_to_thread=False)
    def home(request: AdminRequest) -> Response[str]:
        page = _PAGE.format(version=escape(version), base_url=escape(str(request.base_url)))
        return Response(page, media_type="text/html", headers=_HEADERS)

    return home
