"""Checks that relative links in the Markdown files lead to a file, and their anchors to a heading."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def main() -> int:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    problems = [problem for page in sorted(pages) for problem in broken_links(page)]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def broken_links(page: Path) -> Iterator[str]:
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        path, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        place = (page.parent / path).resolve() if path else page
        if not place.exists():
            yield f"{page.relative_to(ROOT)}: {target} leads nowhere"
        elif anchor and place.suffix == ".md" and anchor not in anchors(place.read_text()):
            yield f"{page.relative_to(ROOT)}: {target} names no heading"


def anchors(text: str) -> set[str]:
    """Headings as the usual renderers name them: lower case, punctuation dropped, spaces to hyphens."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(FENCE.sub("", text))}


if __name__ == "__main__":
    sys.exit(main())
