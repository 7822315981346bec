import pytest

from gateway.sandbox.durations import write_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(0, "0s", id="nothing"),
        pytest.param(-1, "0s", id="never-negative"),
        pytest.param(0.012, "12ms", id="milliseconds"),
        pytest.param(0.0001, "1ms", id="rounded-up"),
        pytest.param(1, "1s", id="whole-seconds"),
        pytest.param(8.64, "8.64s", id="decimals"),
        pytest.param(60, "1m0s", id="a-minute"),
        pytest.param(432, "7m12s", id="minutes"),
        pytest.param(3723, "1h2m3s", id="hours"),
        pytest.param(410_880.0, "114h8m0s", id="days-are-hours"),
    ],
)
def test_duration_is_written_as_go_does(seconds: float, text: str) -> None:
    assert write_duration(seconds) == text
