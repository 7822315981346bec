"""Runs `supervisor.serve` in a process of its own. As a program: argv[1] names the app's factory, "" the gateway's."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway.settings_load import load_settings
from gateway.supervisor import serve
from tests.waits import PATIENCE_S, until

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
"""A process that imports everything, and `initdb`, on a busy machine."""


class Service:
    """A running service, and what it has logged so far."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.events: list[dict[str, object]] = []
        self.errors: list[str] = []
        self._readers = [threading.Thread(target=self._read_log), threading.Thread(target=self._read_errors)]
        for reader in self._readers:
            reader.start()

    def event(self, name: str, *, number: int = 1, **fields: object) -> dict[str, object]:
        """The `number`-th event of that name with those fields, once it has come."""

        def found() -> dict[str, object] | None:
            events = [each for each in list(self.events) if each["event"] == name and fields.items() <= each.items()]
            return events[number - 1] if len(events) >= number else None

        return until(found, within_s=START_S, what=f"{name} {fields}; {self.errors[-5:]}")

    def get(self, path: str = "/") -> str:
        connection = self.open(path)
        try:
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def open(self, path: str) -> http.client.HTTPConnection:
        """A request under way."""
        port = self.event("service.started")["port"]
        assert isinstance(port, int)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        connection.request("GET", path)
        return connection

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        code = self.process.wait(START_S)
        for reader in self._readers:
            reader.join(START_S)
        return code

    def _read_log(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with contextlib.suppress(msgspec.DecodeError):
                self.events.append(msgspec.json.decode(line, type=dict[str, object]))

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line.decode(errors="replace").rstrip())


@contextlib.contextmanager
def running(home: Path, *, app: str = "build", **variables: str) -> Iterator[Service]:
    """A service in `home` on a free port with two workers; whatever still runs at the end is killed.

    `app`: a factory in `tiny_app`; "" is the whole gateway.
    """
    settings = {"GATEWAY_HOME": str(home), "GATEWAY_SERVER__PORT": "0", "GATEWAY_SERVER__WORKERS": "2", **variables}
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("GATEWAY_", "OPENAI_"))}
    kept.pop("DATABASE_URL", None)
    with subprocess.Popen(  # noqa: S603  # our own program
        [sys.executable, "-m", "tests.e2e.service", f"tests.e2e.tiny_app:{app}" if app else ""],
        cwd=ROOT,
        env={**kept, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        service = Service(process)
        try:
            yield service
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
            process.kill()
            service.exit_code()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it starts in the background ignore it
    loaded = load_settings(folder=Path(os.environ["GATEWAY_HOME"]))
    sys.exit(serve(loaded, app=sys.argv[1]) if sys.argv[1] else serve(loaded))
