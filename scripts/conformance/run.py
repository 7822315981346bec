"""The API tests of OpenAI's Python SDK, directly against a mock and through a gateway, compared test by test.

`make conformance` fetches the source of the installed version by pip, once, into `.conformance`: the tests are no part
of the installed package. Exit code 1 when a test that passes directly does not pass through the gateway.
"""

import argparse
import contextlib
import os
import re
import shutil
import socket
import subprocess  # pip, pytest, the gateway: with arguments of our own
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from sdk_results import differences, grouped, lost, read_journal, read_run, shown

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HOME = ROOT / ".conformance"
NEEDED = ("aiohttp", "rich", "respx")
"""What the suite imports beyond our own tests' dependencies."""
AREA = "tests/api_resources"
START_S = 90.0
STOP_S = 60.0


def main() -> int:
    arguments = _arguments()
    release = version("openai")
    source, library = _fetched(release)
    only = ["-k", arguments.k] if arguments.k else []
    work = HOME / "runs"
    work.mkdir(exist_ok=True)
    for name in ("direct", "through"):
        (work / f"{name}.journal").write_bytes(b"")
    models = _models_of(source)
    with _mock(arguments.mock, work / "direct.journal", models) as url:
        _run_suite(source, library, f"{url}/v1", work / "direct.xml", workers=arguments.workers, only=only)
    with _mock(arguments.mock, work / "through.journal", models) as url, _gateway(url, arguments.accounts) as base_url:
        _run_suite(source, library, base_url, work / "through.xml", workers=arguments.workers, only=only)
    return _report(release, work, most=arguments.most)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make conformance", description=__doc__)
    parser.add_argument("-k", help="only tests that fit, as pytest has it")
    parser.add_argument("--workers", type=int, default=2, help="processes that run tests (default: %(default)s)")
    parser.add_argument("--accounts", type=int, default=1, help="default %(default)s: see docs/conformance.md")
    parser.add_argument("--mock", help="base URL of another mock that runs already, without /v1: it keeps no journal")
    parser.add_argument("--most", type=int, default=15, help="of each kind that are shown (default: %(default)s)")
    return parser.parse_args()


def _report(release: str, work: Path, *, most: int) -> int:
    direct, through = read_run(work / "direct.xml"), read_run(work / "through.xml")
    failures = lost(direct, through)
    for cause, names in grouped(failures)[:most]:
        print(f"\n{len(names)} × {cause}")
        print("\n".join(f"    {name}" for name in names[:3]))
    changed, new = differences(read_journal(work / "direct.journal"), read_journal(work / "through.journal"))
    print(f"\nRequests that the upstream saw otherwise or not at all: {len(changed)}\n{shown(changed, most)}")
    print(f"Requests that only the gateway sent: {len(new)}\n{shown(new, most)}")
    print(
        f"\nopenai {release}: {len(direct.tests)} tests; directly {direct.passed} pass, through the gateway "
        f"{through.passed}; lost {len(failures)}"
    )
    return 1 if failures or not direct.passed else 0


# -- the suite -------------------------------------------------------------------------------------------------------


def _fetched(release: str) -> tuple[Path, Path]:
    """The unpacked source of that release, and a folder with what its tests import."""
    HOME.mkdir(exist_ok=True)
    source, library = HOME / f"openai-{release}", HOME / "library"
    if not source.is_dir():
        _pip("download", "--no-deps", "--no-binary", ":all:", "-d", str(HOME), f"openai=={release}")
        with tarfile.open(HOME / f"openai-{release}.tar.gz") as packed:
            packed.extractall(HOME, filter="data")
    if not library.is_dir():
        _pip("install", "--target", str(library), *NEEDED)
    return source, library


def _models_of(source: Path) -> list[str]:
    """Those that the suite asks for by name: the gateway knows no model that its accounts do not list."""
    text = (source / AREA / "test_models.py").read_text()
    return sorted(set(re.findall(r"models\.(?:\w+\.)?retrieve\(\s*\"([^\"]+)\"", text)))


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"], check=True)  # noqa: S603  # our own arguments


def _run_suite(source: Path, library: Path, url: str, report: Path, *, workers: int, only: list[str]) -> None:
    environment = {**os.environ, "TEST_API_BASE_URL": url, "PYTHONPATH": f"{source}:{library}"}
    for name in [name for name in environment if name.startswith("OPENAI_")]:
        del environment[name]
    command = [
        sys.executable, "-m", "pytest", AREA, "-q", "--tb=no", "-o", "addopts=", "-p", "no:cacheprovider", "-n",
        str(workers), f"--ignore={AREA}/admin", f"--junitxml={report}", *only,
    ]  # fmt: skip
    log = report.with_suffix(".log")
    with log.open("wb") as out:
        subprocess.run(command, cwd=source, env=environment, stdout=out, stderr=out, check=False)  # noqa: S603  # as above
    print(f"{report.stem}: {log.read_text().strip().splitlines()[-1]}", flush=True)


# -- programs --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _mock(running: str | None, journal: Path, models: list[str]) -> Iterator[str]:
    if running is not None:
        yield running
        return
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with _program([str(HERE / "sdk_mock.py"), str(port), str(journal), *models], dict(os.environ), f"{url}/models"):
        yield url


@contextlib.contextmanager
def _gateway(upstream: str, accounts: int) -> Iterator[str]:
    """With one provider, the mock; calls are open. It begins with nothing: ids of a run before are not known."""
    shutil.rmtree(HOME / "gateway", ignore_errors=True)
    port = _free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "OPENAI_"))}
    keys = ",".join(f"sk-conformance-{number}" for number in range(accounts))
    environment = {**kept, "OPENAI_API_KEYS": keys, "OPENAI_BASE_URL": upstream, "GATEWAY_HOME": str(HOME / "gateway")}
    url = f"http://127.0.0.1:{port}"
    with _program(["-m", "gateway", "serve", "--port", str(port)], environment, f"{url}/health/ready"):
        yield f"{url}/v1"


@contextlib.contextmanager
def _program(arguments: list[str], environment: dict[str, str], ready_url: str) -> Iterator[None]:
    name = Path(arguments[0] if arguments[0] != "-m" else arguments[1]).stem
    with (HOME / f"{name}.log").open("wb") as out:
        process = subprocess.Popen(  # noqa: S603  # as above
            [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=out, stderr=out
        )
    try:
        _wait_until_ready(process, ready_url)
        yield
    finally:
        process.terminate()
        process.wait(STOP_S)


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310  # a URL of our own
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit(f"{process.args!r} does not serve: see the logs below {HOME}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
