from gateway.core.call import BodyKind, Endpoint
from gateway.relay.checks import LIMITS
from tests.fakes.relay_kit import OK, RelayKit

READ = Endpoint(name="files.read", method="GET", path="", body=BodyKind.NONE)


async def asked(kit, **words):
    """What the only account was asked."""
    row = kit.board.snapshot.accounts["a"]
    provider = kit.board.snapshot.providers[row.provider_id]
    destination = await kit.finished(kit.asking.destination_of(provider, row))
    answer = await kit.finished(kit.asking.ask(provider, destination, READ, limits=LIMITS, **words))
    answer.close()
    return provider, row, destination, kit.upstream.attempts[-1].request


async def test_an_account_is_asked_with_its_credential_and_without_a_lease():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", OK)

    _, _, _, request = await asked(kit, path="/files/file-1", headers=((b"openai-beta", b"assistants=v2"),))

    headers = dict(request.headers)
    assert (request.method, request.target, request.body) == (b"GET", b"/v1/files/file-1", b"")
    assert headers[b"authorization"] == b"Bearer sk-a"
    assert headers[b"openai-beta"] == b"assistants=v2"
    assert headers[b"x-client-request-id"].startswith(b"files.read_")
    assert kit.meter.kinds == []


async def test_no_other_credential_is_to_be_had_for_a_key():
    kit = RelayKit("a")
    kit.upstream.on("sk-a", OK)
    provider, row, destination, _ = await asked(kit)

    assert await kit.asking.renewed(provider, row, destination) is None
