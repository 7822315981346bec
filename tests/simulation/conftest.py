"""What can be served at best is the bench's to say, which is a program and no package: it is found in its folder."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "scripts"))
