"""The parent's small decisions; its life with real processes is tests/e2e/test_serve.py."""

import os

import pytest

from gateway.core.ids import Secret
from gateway.settings import OpenAIEnvironment, ProviderDeclaration, RouteDeclaration, Settings
from gateway.start import StartFailed
from gateway.supervisor import cores, for_workers, fresh_metrics_dir


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("50000 100000", 1, id="half-a-core"),
        pytest.param("100000 100000", 1, id="one"),
        pytest.param("max 100000", len(os.sched_getaffinity(0)), id="no-limit"),
        pytest.param("99999900000 100000", len(os.sched_getaffinity(0)), id="more-than-there-are"),
        pytest.param("nonsense", len(os.sched_getaffinity(0)), id="unreadable"),
    ],
)
def test_share_of_a_container_counts_as_its_cores(tmp_path, text, expected):
    (tmp_path / "cpu.max").write_text(text)

    assert cores(tmp_path / "cpu.max") == expected


def test_cores_without_cgroups(tmp_path):
    assert cores(tmp_path / "none") == len(os.sched_getaffinity(0))


def test_metrics_of_dead_services_are_removed_and_those_of_living_ones_kept(tmp_path):
    metrics = tmp_path / "metrics"
    (metrics / "1").mkdir(parents=True)  # pid 1 always lives
    (metrics / "999999999").mkdir()
    (metrics / str(os.getpid())).mkdir()
    (metrics / str(os.getpid()) / "old.db").write_text("")

    mine = fresh_metrics_dir(tmp_path)

    assert {path.name for path in metrics.iterdir()} == {"1", str(os.getpid())}
    assert list(mine.iterdir()) == []


def test_home_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "home").write_text("")

    with pytest.raises(StartFailed, match="GATEWAY_HOME"):
        fresh_metrics_dir(tmp_path / "home")


def test_workers_get_no_declared_credential():
    settings = Settings(
        providers={"a": ProviderDeclaration(base_url="http://a"), "openai": ProviderDeclaration(timeout_s=3.0)},
        routes={"x": RouteDeclaration(provider="a")},
        openai=OpenAIEnvironment(keys=(Secret("sk"),)),
    )

    given = for_workers(settings)

    assert given == Settings(providers={"openai": ProviderDeclaration(timeout_s=3.0)})
