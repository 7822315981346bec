import pytest

from gateway.wire.sockets import LOST, NO_CODE, Offer, read_offer, sendable


@pytest.mark.parametrize(
    ("subprotocols", "offer"),
    [
        pytest.param([], Offer(), id="none"),
        pytest.param(["realtime"], Offer(None, is_realtime=True), id="no-key"),
        pytest.param(["realtime", "openai-insecure-api-key.gw-a"], Offer("gw-a", is_realtime=True), id="browser"),
        pytest.param(["openai-insecure-api-key.gw-a"], Offer("gw-a"), id="key-alone"),
        pytest.param(["openai-insecure-api-key."], Offer(), id="empty-key"),
        pytest.param(["openai-insecure-api-key.a", "openai-insecure-api-key.b"], Offer("a"), id="first-key"),
        pytest.param(["openai-organization.org-1", "openai-project.proj_1"], Offer(), id="whose-account"),
        pytest.param(["openai-beta.realtime-v1"], Offer(beta="realtime=v1"), id="beta"),
        pytest.param(["openai-beta.x"], Offer(), id="beta-without-version"),
        pytest.param(["Realtime", "realtimes"], Offer(), id="other-words"),
    ],
)
def test_what_a_list_of_subprotocols_says(subprotocols, offer):
    assert read_offer(subprotocols) == offer


@pytest.mark.parametrize(
    ("code", "reason", "sent"),
    [
        pytest.param(1000, "bye", (1000, "bye"), id="as-it-came"),
        pytest.param(1012, "", (1012, ""), id="restart"),
        pytest.param(4999, "own", (4999, "own"), id="private"),
        pytest.param(NO_CODE, "", (1000, ""), id="no-code"),
        pytest.param(LOST, "", (1011, ""), id="lost"),
        pytest.param(1015, "tls", (1011, ""), id="never-on-the-wire"),
        pytest.param(2999, "", (1011, ""), id="nobodys"),
        pytest.param(5000, "", (1011, ""), id="too-great"),
        pytest.param(3000, "key sk-AbCd12345678 of org-AbCd12345678", (3000, "key sk-*** of org-***"), id="masked"),
        pytest.param(3000, "ü" * 100, (3000, "ü" * 61), id="cut-between-letters"),
    ],
)
def test_codes_and_reasons_that_may_be_passed_on(code, reason, sent):
    assert sendable(code, reason, instead=1011) == sent
