"""Models that are named elsewhere than at the top of a JSON body: routed by, renamed there, all else as it came."""

import json
from urllib.parse import parse_qsl

import httpx2
import pytest

from gateway.sandbox.faults import Fault
from gateway.sandbox.journal import Seen
from gateway.sandbox.server import Sandbox
from tests.fakes.gateway_fixture import Gateway, Registry, until
from tests.fakes.plain_sdk import plain_sdk

URLENCODED = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def aliased(gateway: Gateway, registry: Registry, sandbox: Sandbox) -> Gateway:
    """Two providers at one sandbox: `openai` (sk-a) and `other` (sk-o), where the alias `theirs` leads."""
    await registry.execute("UPDATE providers SET supported_models = '[]'")
    await registry.add_account("sk-a")
    await registry.add_provider("other", sandbox.url, supported_models=[])
    await registry.add_account("sk-o", "other")
    await registry.add_route("theirs", "other", upstream_model="m/1 b")
    await registry.add_route("ear", "other", upstream_model="whisper-9")
    await registry.add_route("steady", upstream_model="gpt-4o", fallbacks=["theirs"])
    await gateway.serves(accounts=2)
    await until(lambda: "steady" in gateway.snapshot.exact_routes, "the routes")
    return gateway


def last(sandbox: Sandbox) -> Seen:
    return [seen for seen in sandbox.log if seen.path != "/v1/models"][-1]


async def sent(gateway: Gateway, path: str, body: str) -> httpx2.Response:
    return await gateway.client.post(path, content=body.encode(), headers=URLENCODED)


# -- urlencoded forms --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses", "/v1/audio/transcriptions", "/v1/vendors/own"])
async def test_the_model_of_an_urlencoded_form_leads_and_is_renamed(
    aliased: Gateway, sandbox: Sandbox, path: str
) -> None:
    await sent(aliased, path, "prompt=a%20b+c&model=theirs&n=1.0&x")

    seen = last(sandbox)
    assert (seen.key, seen.headers["content-type"]) == ("sk-o", URLENCODED["content-type"])
    assert seen.body == b"prompt=a%20b+c&model=m%2F1+b&n=1.0&x"


async def test_an_urlencoded_form_passes_as_it_came_where_nothing_is_renamed(
    aliased: Gateway, sandbox: Sandbox
) -> None:
    await sent(aliased, "/v1/completions", "prompt=a%20b+c&mod%65l=gpt-4")

    assert (last(sandbox).key, last(sandbox).body) == ("sk-a", b"prompt=a%20b+c&mod%65l=gpt-4")


async def test_json_under_curls_own_type_is_json(aliased: Gateway, sandbox: Sandbox) -> None:
    answer = await sent(
        aliased, "/v1/chat/completions", ' {"model":"gpt-4","messages":[{"role":"user","content":"&"}]}'
    )

    assert answer.status_code == 200
    assert last(sandbox).headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "body", "param", "code"),
    [
        pytest.param("/v1/completions", "model=gpt-4", "prompt", "missing_required_parameter", id="what must be there"),
        pytest.param("/v1/completions", "prompt=a", "model", "missing_required_parameter", id="no model"),
        pytest.param("/v1/completions", "prompt=a&model=gpt-4&model=o3", "model", "invalid_value", id="two models"),
        pytest.param("/v1/chat/completions", "model=gpt-4&messages=hi", "messages", "invalid_type", id="a chat"),
        pytest.param("/v1/chat/completions", "  ", None, "invalid_json", id="blanks"),
    ],
)
async def test_an_urlencoded_form_is_checked(
    aliased: Gateway, sandbox: Sandbox, path: str, body: str, param: str | None, code: str
) -> None:
    answer = await sent(aliased, path, body)

    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, code)
    assert not [seen for seen in sandbox.log if seen.path == path]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param(URLENCODED["content-type"], b"a b" * 30_000, id="a text under curl's own type"),
        pytest.param(URLENCODED["content-type"], b"=unnamed&\x00\xff", id="no names"),
        pytest.param("multipart/form-data; boundary=X", b"--X\r\n\r\nno head and no end", id="half a form"),
    ],
)
async def test_a_form_that_is_not_clear_passes_until_ids_and_models_have_owners(
    aliased: Gateway, sandbox: Sandbox, content_type: str, body: bytes
) -> None:
    made = await aliased.client.post("/api/v1/keys", json={"name": "ann"})
    headers = {"content-type": content_type, "x-provider": "openai"}

    await aliased.client.post("/v1/vendors/own", content=body, headers=headers)

    assert (last(sandbox).path, last(sandbox).body) == ("/v1/vendors/own", body)
    keyed = headers | {"authorization": f"Bearer {made.json()['key']}"}
    await until(lambda: bool(aliased.snapshot.keys), "the key")
    refused = await aliased.client.post("/v1/vendors/own", content=body, headers=keyed)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_multipart")


async def test_ids_of_an_urlencoded_form_lead_to_their_account(
    aliased: Gateway, registry: Registry, sandbox: Sandbox
) -> None:
    await registry.add_account("sk-b")
    await aliased.serves(accounts=3)
    file, at_openai = {"file": ("a", b"x")}, {"x-provider": "openai"}
    made = await aliased.client.post("/v1/files", files=file, data={"purpose": "vision"}, headers=at_openai)
    home = last(sandbox).key

    for _ in range(4):
        await sent(aliased, "/v1/images/edits", f"model=gpt-image-1&image[0][file_id]={made.json()['id']}")
        assert last(sandbox).key == home


async def test_an_urlencoded_form_is_renamed_for_a_fallback(aliased: Gateway, sandbox: Sandbox) -> None:
    sandbox.script(Fault("insufficient_quota", key="sk-a", times=None))

    await sent(aliased, "/v1/completions", "model=steady&prompt=a")

    assert [dict(parse_qsl(seen.body.decode()))["model"] for seen in sandbox.log if seen.body] == ["gpt-4o", "m/1 b"]


# -- the query ---------------------------------------------------------------------------------------------------


async def test_a_model_in_the_query_is_renamed_for_a_route_and_for_its_fallback(
    aliased: Gateway, sandbox: Sandbox
) -> None:
    await aliased.client.post("/v1/vendors/own?a=%20&mod%65l=theirs&b", content=b"x")
    assert (last(sandbox).key, last(sandbox).query) == ("sk-o", "a=%20&model=m%2F1+b&b")
    sandbox.reset()
    sandbox.script(Fault("insufficient_quota", key="sk-a", times=None))

    await aliased.client.get("/v1/vendors/own?model=steady&b")

    assert [(one.key, one.query) for one in sandbox.log if one.path == "/v1/vendors/own"] == [
        ("sk-a", "model=gpt-4o&b"),
        ("sk-o", "model=m%2F1+b&b"),
    ]


async def test_two_models_in_a_query_are_refused(aliased: Gateway) -> None:
    answer = await aliased.client.get("/v1/vendors/own?model=gpt-4&mod%65l=o3")

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")


# -- sessions ----------------------------------------------------------------------------------------------------

HEARD = {"input": {"transcription": {"model": "ear", "language": "de"}}}


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (
            "/v1/realtime/client_secrets",
            {"expires_after": {"seconds": 60}, "session": {"type": "realtime", "model": "theirs", "audio": HEARD}},
            ["m/1 b", "whisper-9"],
        ),
        ("/v1/realtime/client_secrets", {"session": {"type": "transcription", "audio": HEARD}}, ["whisper-9"]),
        ("/v1/realtime/translations/client_secrets", {"session": {"model": "theirs"}}, ["m/1 b"]),
        (
            "/v1/realtime/sessions",
            {"model": "theirs", "input_audio_transcription": {"model": "ear"}},
            ["m/1 b", "whisper-9"],
        ),
        ("/v1/realtime/transcription_sessions", {"input_audio_transcription": {"model": "ear"}}, ["whisper-9"]),
    ],
)
async def test_a_sessions_model_leads_and_all_its_models_are_renamed(
    aliased: Gateway, sandbox: Sandbox, path: str, body: dict[str, object], expected: list[str]
) -> None:
    text = json.dumps(body)
    await aliased.client.post(path, content=text.encode())

    seen = last(sandbox)
    assert seen.key == "sk-o"
    assert seen.body.decode() == text.replace("theirs", "m/1 b").replace('"ear"', '"whisper-9"')
    assert [name for name in expected if f'"{name}"' in seen.body.decode()] == expected


async def test_a_session_that_names_no_model_goes_where_it_is_sent(aliased: Gateway, sandbox: Sandbox) -> None:
    for body in ("{}", '{"session": {"type": "realtime"}}', '{"session": {"model": 7}}'):
        await aliased.client.post(
            "/v1/realtime/client_secrets", content=body.encode(), headers={"x-provider": "openai"}
        )
        assert (last(sandbox).key, last(sandbox).body) == ("sk-a", body.encode())


async def test_the_session_of_a_call_is_json_in_a_form(aliased: Gateway, sandbox: Sandbox) -> None:
    async with plain_sdk(aliased.url) as client:
        made = await client.realtime.calls.create(
            sdp="v=0 theirs",
            session={"type": "realtime", "model": "theirs", "audio": HEARD},  # type: ignore[typeddict-item]  # any name of a model
        )

    seen = last(sandbox)
    assert (seen.key, made.response.status_code) == ("sk-o", 201)
    assert b'"model":"m/1 b"' in seen.body
    assert b'"model":"whisper-9"' in seen.body
    assert b"v=0 theirs" in seen.body
    assert made.response.headers["location"].startswith("/v1/realtime/calls/rtc_")


async def test_a_call_with_a_bare_offer_names_its_model_in_the_query(aliased: Gateway, sandbox: Sandbox) -> None:
    await aliased.client.post(
        "/v1/realtime/calls?model=theirs", content=b"v=0", headers={"content-type": "application/sdp"}
    )

    assert (last(sandbox).key, last(sandbox).query, last(sandbox).body) == ("sk-o", "model=m%2F1+b", b"v=0")


async def test_the_session_is_renamed_for_a_fallback(aliased: Gateway, sandbox: Sandbox) -> None:
    sandbox.script(Fault("insufficient_quota", key="sk-a", times=None))
    session = {"session": {"type": "realtime", "model": "steady"}}

    await aliased.client.post("/v1/realtime/client_secrets", json=session)
    await aliased.client.post("/v1/realtime/calls", files={"session": (None, json.dumps(session["session"]))})

    models = [json.loads(seen.body)["session"]["model"] for seen in sandbox.log if "client_secrets" in seen.path]
    assert models == ["gpt-4o", "m/1 b"]
    assert b'"model": "m/1 b"' in last(sandbox).body


async def test_accounts_serve_all_models_of_a_session(aliased: Gateway, registry: Registry, sandbox: Sandbox) -> None:
    await registry.add_account("sk-deaf", "other", supported_models=["theirs"])
    await registry.add_account("sk-mute", "other", supported_models=["ear"])
    await aliased.serves(accounts=4)
    body = {"session": {"model": "theirs", "audio": HEARD}}

    for _ in range(6):
        await aliased.client.post("/v1/realtime/client_secrets", json=body)
        assert last(sandbox).key == "sk-o"
    await registry.execute("DELETE FROM accounts WHERE label = 'sk-o'")
    await aliased.serves(accounts=3)
    refused = await aliased.client.post("/v1/realtime/client_secrets", json=body)

    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "mixed_account_references")


async def test_an_eval_runs_model_is_renamed(aliased: Gateway, sandbox: Sandbox) -> None:
    made = await aliased.client.post("/v1/evals", json={"name": "x"}, headers={"x-provider": "other"})

    await aliased.client.post(
        f"/v1/evals/{made.json()['id']}/runs", json={"data_source": {"type": "responses", "model": "theirs"}}
    )

    assert json.loads(last(sandbox).body)["data_source"]["model"] == "m/1 b"
