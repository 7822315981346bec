"""The benches are programs, not packages: their modules are found in their folders."""

import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path += [str(SCRIPTS / "bench"), str(SCRIPTS / "conformance"), str(SCRIPTS)]
