from gateway.sandbox.config import Behaviour
from gateway.sandbox.endpoints import base_model, behaviour_of, find
from gateway.sandbox.errors import ErrorKind


def test_knobs_in_the_models_name_are_read() -> None:
    assert behaviour_of("gpt-4o+chunks=50+gap_s=0.01", {}) == Behaviour(chunks=50, gap_s=0.01)
    assert base_model("gpt-4o+chunks=50") == "gpt-4o"


def test_knobs_go_before_the_row_of_the_model() -> None:
    rows = {"gpt-4*": Behaviour(chunks=5, delay_s=1.0)}

    assert behaviour_of("GPT-4o+chunks=9", rows) == Behaviour(chunks=9, delay_s=1.0)


def test_plus_sign_that_is_no_knob_is_left_alone() -> None:
    assert behaviour_of("qwen+coder", {}) == Behaviour()
    assert behaviour_of("x+chunks=many", {}) == Behaviour()
    assert behaviour_of("x+colour=red", {}) == Behaviour()


def test_wrong_address_and_wrong_method_are_told_apart() -> None:
    missing, wrong = find("POST", "/v1/nothing"), find("GET", "/v1/chat/completions")

    assert isinstance(missing, ErrorKind)
    assert missing.status == 404
    assert isinstance(wrong, ErrorKind)
    assert wrong.status == 405
