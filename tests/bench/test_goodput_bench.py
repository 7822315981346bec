import re
import subprocess
import sys
from pathlib import Path
from random import Random

import msgspec
from goodput import Figure, _row
from goodput_callers import Connections, Crowd, body_of, by_chance, by_turns
from goodput_scenes import LIMIT, WAVES, Part, Scene, gateway_config, parts_of, sandbox_config

from gateway.core.hints import organization_named
from gateway.sandbox.config import SandboxConfig
from gateway.sandbox.server import Sandbox

PART = Part("w0s0l0", Scene("one", accounts=2, period_s=100.0), load=1.0)


def config_of(parts):
    return msgspec.convert(sandbox_config(parts, has_headers=True), SandboxConfig)


def test_no_two_parts_share_a_key_or_an_organisation():
    parts = [part for number, wave in enumerate(WAVES) for part in parts_of(wave, number)]
    keys = [key for part in parts for key in part.keys]
    organisations = {part.organisation(number) for part in parts for number in range(part.scene.accounts)}

    assert len(set(keys)) == len(keys)
    assert len(organisations) == sum(part.scene.organisation_count for part in parts)
    assert all(organization_named(name) == name for name in organisations)  # as a 429 would tell it


def test_only_accounts_that_share_limits_are_grouped_and_only_where_the_scene_says_so():
    grouped, alone, left = (
        Part(f"w{i}", Scene("x", accounts=4, **fields), 1.0)
        for i, fields in enumerate([{"organisations": 2}, {}, {"organisations": 2, "is_grouped": False}])
    )

    providers = gateway_config([grouped, alone, left], "http://a", "http://b")["providers"]

    groups = {id_: [account["quota_group"] for account in one["accounts"]] for id_, one in providers.items()}
    assert groups == {"w0": ["org-w0o0", "org-w0o1"] * 2, "w1": [None] * 4, "w2": [None] * 4}


async def test_plain_rotations_are_refused_once_every_limit_is_used_up():
    for send_of in (by_turns, lambda upstream: by_chance(upstream, Random(1))):
        async with Sandbox(config_of([PART])) as sandbox:
            upstream = Connections(sandbox.url)
            send = send_of(upstream)
            statuses = [await send(PART, body_of(10)) for _ in range(2 * LIMIT + 1)]
            await upstream.close()

        assert statuses == [200] * (2 * LIMIT) + [429]


async def test_callers_that_come_while_it_counts_are_told_apart_by_what_they_saw():
    statuses = iter([200, 429, 500] * 1000)

    async def send(_part, _body):
        return next(statuses)

    crowd = Crowd(Part("p", Scene("fast", period_s=0.01), 1.0), send, Random(1), is_counting=True)
    await crowd.come(0.02)

    tally = crowd.tally
    assert tally.offered == tally.answered + tally.refused + tally.failed == len(crowd.calls) > 3
    assert 0 <= tally.answered - tally.failed <= 1


def test_a_row_fits_under_the_heading():
    row = _row(Figure("gateway", "bucket", 1.5, served=0.999, best=1.0, refused=0.334, wasted=0.002, failed=0))

    assert re.split(r"\s+", row) == ["gateway", "bucket", "1.5", "0.999", "1.000", "33.4%", "0.002", "0"]


def test_make_finds_all_that_the_program_needs():
    told = subprocess.run(  # noqa: S603  # the project's own
        ["make", "bench-goodput", f"PY={sys.executable}", "STAMP=", "ARGS=--help"],  # noqa: S607  # as people call it
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert "usage: goodput" in told.stdout
