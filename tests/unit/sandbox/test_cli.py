from pathlib import Path

import pytest

from gateway.sandbox.cli import config_of, main, make_parser
from gateway.sandbox.config import Algorithm, KeyConfig, LimitRule


def config_from(*argv: str):
    return config_of(make_parser().parse_args(argv))


def test_flags_make_keys_and_limits() -> None:
    config = config_from("--key", "sk-a:org-1:proj_1", "--requests", "3", "--period", "4", "--algorithm", "fixed")

    assert config.keys == {"sk-a": KeyConfig(org="org-1", project="proj_1")}
    assert config.limits == (LimitRule(requests=3, period_s=4.0, algorithm=Algorithm.FIXED),)


def test_key_without_an_organisation_has_one_that_does_not_show_the_key() -> None:
    one, other = config_from("--key", "sk-a", "--key", "sk-b").keys.values()

    assert one.org != other.org
    assert "sk-a" not in one.org


def test_file_is_read_and_flags_are_laid_over_it(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.yaml"
    path.write_text("keys: {sk-a: {org: org-1}}\nlimits: [{requests: 3, model: 'gpt-4o*', family: gpt-4o}]\n")

    config = config_from("--config", str(path), "--key", "sk-b:org-2", "--gap", "0.5")

    assert set(config.keys) == {"sk-a", "sk-b"}
    assert config.limits[0].family == "gpt-4o"
    assert config.behaviours["*"].gap_s == 0.5


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param("kees: {}", "kees", id="unknown"),
        pytest.param("limits: [{requests: 0}]", "$.limits[0].requests", id="out-of-range"),
        pytest.param("limits: [{period_s: 0}]", "$.limits[0].period_s", id="no-period"),
    ],
)
def test_wrong_setting_stops_the_start_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, named: str
) -> None:
    path = tmp_path / "sandbox.yaml"
    path.write_text(text)

    with pytest.raises(SystemExit) as stopped:
        main(["--config", str(path)])

    assert stopped.value.code == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize("port", ["99999", "65536", "-1", "http"])
def test_port_that_is_none_stops_the_start_and_is_named(capsys: pytest.CaptureFixture[str], port: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([f"--port={port}"])

    assert stopped.value.code == 2
    assert "--port" in capsys.readouterr().err
