"""The bench is a program, not a package: its modules are found in its folder."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "scripts" / "bench"))
