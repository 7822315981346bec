"""`python -m gateway.sandbox`."""

import sys

from gateway.sandbox.cli import main

sys.exit(main())
