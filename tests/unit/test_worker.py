"""What a worker's process leaves out: it is paid for in every worker."""

import subprocess
import sys

WITHOUT_EXTRAS = """
import sys
from gateway.worker import leave_out_extras
leave_out_extras()
import gateway.app
from litestar import Litestar
Litestar([])
loaded = {name.partition(".")[0] for name, module in sys.modules.items() if module is not None}
assert "litestar" in loaded
rare = ("anthropic_responses", "providers.assertion", "admin.router", "ingress.pages")
assert not [name for name in sys.modules if name.endswith(rare)]
assert not loaded & {"pydantic", "pydantic_core", "rich", "pygments", "httpx2", "websockets", "alembic"}, loaded
"""


def test_an_app_is_made_without_the_libraries_that_no_worker_needs():
    process = subprocess.run(  # noqa: S603  # the words above
        [sys.executable, "-c", WITHOUT_EXTRAS], capture_output=True, text=True, check=False
    )

    assert process.returncode == 0, process.stderr
