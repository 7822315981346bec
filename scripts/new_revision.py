"""Makes an empty migration `migrations/versions/YYYY-MM-DD_<what>.py` on top of the newest one."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    what = " ".join(sys.argv[1:]).strip()
    if not what:
        print('usage: make revision m="what it does"', file=sys.stderr)
        return 2
    slug = re.sub(r"[^a-z0-9]+", "_", what.lower()).strip("_")
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", f"{datetime.now(UTC):%Y-%m-%d}_{slug}")
    command.revision(config, message=what)
    return 0


if __name__ == "__main__":
    sys.exit(main())
