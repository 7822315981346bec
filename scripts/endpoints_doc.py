"""Writes docs/endpoints.md from the table of endpoints in `gateway/wire/endpoint_rows`.

endpoints_doc.py           writes the page
endpoints_doc.py --check   exit code 1 when the page is out of date
"""

import sys
from pathlib import Path

from gateway.core.call import BodyKind, Endpoint, ModelUse, StreamKind
from gateway.wire.endpoints import ENDPOINTS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "endpoints.md"

INTRODUCTION = """# Endpoints

Written by `python -m scripts.endpoints_doc` from `gateway/wire/endpoint_rows/`: change it there. Paths are below `/v1`.

**Every other path below `/v1` is served as well**, with any method: it goes upstream as it is, under the name `other`.
So an endpoint that OpenAI adds tomorrow works today, and so do those that a vendor has of its own. Only
`/v1/organization…` and `/v1/projects…` are refused (403, `admin_path_refused`): they would let a caller change the
account itself. `HEAD` goes where `GET` goes. WebSockets are in [realtime.md](realtime.md) and
[responses-websocket.md](responses-websocket.md).

- **Which provider**: `x-provider`, else the route of the model, else the account that holds the id named, else
  `default_provider`, else the only active one. A call that names no model and leaves more than one to choose from is a
  400 `provider_required`.
- **Model**: *needed* is the provider's `default_model` where the caller names none, and a 400 without one; *if given*
  is routed and renamed by its route, and left to the provider where it is absent. It is read from the JSON body, a
  form (multipart or urlencoded) wherever it stands in it, or the query; a form or a query with two models is a 400.
- **Body**: JSON is checked and bounded by `limits.max_json_bytes`; forms and files pass as they are, bounded by
  `limits.max_body_bytes`. A body where none is named passes unread.
- **Stream**: *read* streams are held until their first content, may move to another account before it, and never end
  cleanly when they were cut. Every other answer that is no JSON passes as it comes, of any size.
- **Makes**: the answer carries the id of such an object. A call that makes something is repeated, once bytes of its
  body have left, only after a definite refusal.
"""

BODIES = {
    BodyKind.NONE: "–",
    BodyKind.JSON: "JSON",
    BodyKind.MULTIPART: "form",
    BodyKind.BINARY: "file",
    BodyKind.ANY: "form or JSON",
}
MODELS = {ModelUse.NONE: "–", ModelUse.OPTIONAL: "if given", ModelUse.REQUIRED: "needed"}


def rendered() -> str:
    areas: dict[str, list[Endpoint]] = {}
    for row in sorted(ENDPOINTS, key=lambda row: (row.path, row.method)):
        areas.setdefault(row.path.split("/")[1], []).append(row)
    parts = [INTRODUCTION]
    for area, rows in areas.items():
        parts.append(f"\n## `/{area}`\n\n| Name | Call | Body | Model | Stream | Answer |\n|---|---|---|---|---|---|\n")
        parts += [_line(row) for row in rows]
    return "".join(parts)


def _line(row: Endpoint) -> str:
    path = row.path.replace("...}", "}")
    stream = "–" if row.stream is StreamKind.NONE else "read"
    model = f"if given (`{'.'.join(row.model_places[0])}` …)" if row.model_places else MODELS[row.model]
    cells = (f"`{row.name}`", f"`{row.method} {path}`", BODIES[row.body], model, stream, _answer(row))
    return f"| {' | '.join(cells)} |\n"


def _answer(row: Endpoint) -> str:
    said = [
        "of the gateway" if row.is_own else "",
        "a list over the accounts" if row.is_list else "",
        "passed on unread" if row.is_download else "",
        f"makes `{row.creates}`" if row.creates else "",
        "acts: not repeated lightly" if row.is_creating and not row.creates else "",
        "a secret: see realtime.md" if row.gives_secret else "",
    ]
    return "; ".join(word for word in said if word) or "–"


def main() -> int:
    if "--check" in sys.argv:
        return 0 if PAGE.read_text() == rendered() else 1
    PAGE.write_text(rendered())
    return 0


if __name__ == "__main__":
    sys.exit(main())
