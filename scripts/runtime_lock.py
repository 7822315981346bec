"""Writes the part of requirements.lock that the service itself needs to stdout, without tests and linters.

    python scripts/runtime_lock.py requirements.lock > runtime.lock

Reads the `# via` comments of the lock, so it needs neither the network nor anything installed.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_NAME = re.compile(r"^([A-Za-z0-9._-]+)")


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: runtime_lock.py requirements.lock", file=sys.stderr)
        return 2
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    entries = list(entries_of(Path(sys.argv[1]).read_text()))
    needed = closure({canonical(name_of(each)) for each in project["dependencies"]}, entries)
    sys.stdout.write("".join(text for name, _, text in entries if name in needed))
    return 0


def entries_of(lock: str) -> list[tuple[str, set[str], str]]:
    """Of each pin: its name, who wants it, its lines."""
    found = []
    for text in re.split(r"(?m)^(?=[A-Za-z0-9])", lock):
        if text.strip():
            _, _, via = text.partition("# via")
            wanted_by = {canonical(name_of(word)) for word in re.findall(r"[A-Za-z0-9][A-Za-z0-9._-]*", via)}
            found.append((canonical(name_of(text)), wanted_by, text))
    return found


def closure(names: set[str], entries: list[tuple[str, set[str], str]]) -> set[str]:
    """`names` and everything that they want, directly or not."""
    needed = set(names)
    while more := {name for name, wanted_by, _ in entries if wanted_by & needed} - needed:
        needed |= more
    return needed


def name_of(requirement: str) -> str:
    match = _NAME.match(requirement)
    return match.group(1) if match else ""


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
