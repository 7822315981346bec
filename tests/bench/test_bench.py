import os
import shutil
import subprocess
import sys
import time

import pytest
from procfs import command_of, cpu_s, descendants, pss_mb
from programs import built, mock_upstream, run_load
from report import Sample, Spread, ratios, spread, table, verdicts

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="mock and load generator are C programs")


def sample(cpu_us: float, pss: float = 50.0, errors: int = 0) -> Sample:
    return Sample(cpu_us, rest_us=1.0, per_s=1_000.0, p50_us=10.0, p99_us=20.0, errors=errors, pss_mb=pss)


ROUNDS = {
    "c32": {
        "nginx": [sample(10.0), sample(20.0), sample(10.0)],
        "gateway": [sample(100.0), sample(180.0), sample(130.0)],
    },
    "paced": {"nginx": [sample(10.0)], "gateway": [sample(31.0, pss=101.0)]},
}


def test_ratios_are_taken_within_a_round():
    assert ratios(ROUNDS["c32"]["gateway"], ROUNDS["c32"]["nginx"]) == Spread(10.0, 9.0, 13.0)


def test_without_nginx_there_is_no_ratio():
    assert ratios(ROUNDS["c32"]["gateway"], []) is None
    assert [text for text, _ in verdicts({"c32": {"gateway": [sample(1.0)]}})] == [
        "memory: 50 MB Pss a worker, bar 100"
    ]


def test_bars_hold_or_are_missed_by_the_median():
    found = verdicts(ROUNDS)

    assert [holds for _, holds in found] == [True, False, False]
    assert found[0][0] == "c32: 10.0 (9.0-13.0) x nginx, bar 12"
    assert found[1][0].startswith("paced: 3.10")


def test_table_has_a_row_for_each_load_and_target():
    lines = table(ROUNDS).splitlines()

    assert len(lines) == 2 + 4
    assert len({len(line) for line in lines}) == 1
    assert "130 (100-180)" in lines[3]
    assert "10.0 (9.0-13.0)" in lines[3]


def test_spread_is_median_and_extremes():
    assert str(spread([3.0, 1.0, 2.0])) == "2.00 (1.00-3.00)"


def test_cpu_time_of_another_process_is_read_finely():
    spin = "import time\nwhile time.process_time() < 0.05: pass\nprint(time.process_time(), flush=True)\ninput()"
    with subprocess.Popen(  # noqa: S603  # this Python, our text
        [sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        said = float(process.stdout.readline())

        read = cpu_s(process.pid)

        assert said <= read < said + 0.05
        assert process.pid in descendants(os.getpid())
        assert "process_time" in command_of(process.pid)
        assert pss_mb(process.pid) > 1
        process.communicate(b"\n")
    assert cpu_s(process.pid) == 0.0


@needs_compiler
def test_generator_and_mock_agree_about_calls_and_events(tmp_path):
    bodies = {
        "json": b'{"model":"gpt-4"}',
        "burst": b'{"stream":true}',
        "asked": b'{"stream":true,"include_usage":true}',
    }
    for name, body in bodies.items():
        (tmp_path / name).write_bytes(body)

    with built() as folder, mock_upstream(folder) as port:
        found = {
            name: run_load(folder, port=port, body=tmp_path / name, connections=4, seconds=0.05) for name in bodies
        }

    assert all(result.calls > 0 and result.errors == 0 for result in found.values())
    assert found["json"].events == 0
    assert found["burst"].events == 101 * found["burst"].calls
    assert found["asked"].events == 102 * found["asked"].calls
    assert found["json"].p50_us > 0


@needs_compiler
def test_paced_events_come_one_each_10_ms(tmp_path):
    (tmp_path / "paced").write_bytes(b'{"stream":true,"user":"bench-paced"}')

    with built() as folder, mock_upstream(folder) as port:
        started = time.monotonic()
        result = run_load(folder, port=port, body=tmp_path / "paced", connections=2, seconds=0.01)
        took = time.monotonic() - started

    assert result.calls == 2
    assert took > 0.98
    assert result.p50_us > 980_000


@needs_compiler
def test_open_loop_keeps_its_rate(tmp_path):
    (tmp_path / "json").write_bytes(b"{}")

    with built() as folder, mock_upstream(folder) as port:
        result = run_load(folder, port=port, body=tmp_path / "json", connections=4, seconds=0.5, rate=100)

    assert 40 <= result.calls <= 51
