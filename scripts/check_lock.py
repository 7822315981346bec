"""Checks the lock files offline: no address in them, hashes everywhere, and every dependency of pyproject met."""

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-uv.lock")
ADDRESS = re.compile(r"://|--index|--extra-index|--find-links|--trusted-host")
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)")


def main() -> int:
    problems = [problem for name in LOCKS for problem in lock_problems(name, (ROOT / name).read_text())]
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*pyproject["project"]["dependencies"], *pyproject["dependency-groups"]["dev"]]
    problems += unmet(wanted, pins((ROOT / LOCKS[0]).read_text()))
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("requirements.lock does not fit: `make lock` writes it anew", file=sys.stderr)
    return 1 if problems else 0


def lock_problems(name: str, text: str) -> list[str]:
    """Lines that hold an address, and pins without a hash behind them."""
    lines = text.splitlines()
    problems = [f"{name}:{number}: an address" for number, line in enumerate(lines, 1) if ADDRESS.search(line)]
    for number, (line, following) in enumerate(zip(lines, [*lines[1:], ""], strict=True), 1):
        if PINNED.match(line) and "--hash=sha256:" not in following:
            problems.append(f"{name}:{number}: no hash for {line.split()[0]}")
    return problems


def pins(text: str) -> dict[str, list[Version]]:
    """Canonical name → versions: a universal lock may hold several, one per platform or Python."""
    found: dict[str, list[Version]] = {}
    for line in text.splitlines():
        if match := PINNED.match(line):
            found.setdefault(canonicalize_name(match.group(1)), []).append(Version(match.group(2)))
    return found


def unmet(wanted: list[str], locked: dict[str, list[Version]]) -> list[str]:
    """Requirements of pyproject that no pin fulfils."""
    problems = []
    for text in wanted:
        requirement = Requirement(text)
        versions = locked.get(canonicalize_name(requirement.name), [])
        if not any(requirement.specifier.contains(version, prereleases=True) for version in versions):
            there = ", ".join(map(str, versions)) or "nothing"
            problems.append(f"requirements.lock: pyproject wants {text}, the lock has {there}")
    return problems


if __name__ == "__main__":
    sys.exit(main())
