"""Runs the bench in the folder beside: `.venv/bin/python scripts/bench.py --help`."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_name("bench")), run_name="__main__")
