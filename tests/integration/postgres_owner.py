"""A program for test_embedded.py: owns or attaches to the server in argv[1], says so, watches until stdin closes."""

import select
import sys
from pathlib import Path

import msgspec

from gateway.store.embedded import EmbeddedPostgres


def main() -> None:
    server = EmbeddedPostgres(Path(sys.argv[1]), options=("fsync=off",))
    server.start()
    say(server)
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        if server.check():
            say(server)
    server.stop()


def say(server: EmbeddedPostgres) -> None:
    sys.stdout.buffer.write(msgspec.json.encode({"is_owner": server.is_owner, "pid": server.pid}) + b"\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
