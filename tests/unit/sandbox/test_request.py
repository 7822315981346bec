import gzip
import zlib

import msgspec
import pytest

from gateway.sandbox.request import Asked, Message, Request, read_asked, texts_of


def request_of(*headers: tuple[bytes, bytes], body: bytes = b"") -> Request:
    return Request(method="POST", path="/v1/chat/completions", query="", headers=list(headers), body=body)


def test_key_is_the_bearer_token() -> None:
    assert request_of((b"authorization", b"bearer sk-a")).key == "sk-a"


def test_key_may_stand_in_the_api_key_header() -> None:
    assert request_of((b"api-key", b"sk-a")).key == "sk-a"


def test_gzipped_body_is_unpacked() -> None:
    assert request_of((b"content-encoding", b"gzip"), body=gzip.compress(b"{}", mtime=0)).content == b"{}"


def test_body_that_is_no_gzip_is_an_error() -> None:
    with pytest.raises(zlib.error):
        _ = request_of((b"content-encoding", b"gzip"), body=b"{}").content


@pytest.mark.parametrize(
    ("asked", "tokens"),
    [
        pytest.param(Asked(messages=[Message("user", "x" * 401)]), 101, id="characters-rounded-up"),
        pytest.param(Asked(messages=[Message("user", "x")], max_tokens=50, n=3), 150, id="max-tokens-by-n"),
        pytest.param(Asked(messages=[Message("user", "x")], max_completion_tokens=70), 70, id="newer-name"),
        pytest.param(Asked(messages=[Message("user", "x" * 400)], max_tokens=50), 100, id="the-larger-counts"),
        pytest.param(Asked(messages=[Message("user", [{"type": "text", "text": "x" * 8}])]), 2, id="content-parts"),
        pytest.param(Asked(prompt=["x" * 4, "y" * 4]), 2, id="prompts"),
    ],
)
def test_charge_is_what_openai_takes_at_admission(asked: Asked, tokens: int) -> None:
    assert asked.charged_tokens == tokens


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        pytest.param("a", ["a"], id="text"),
        pytest.param(["a", "b"], ["a", "b"], id="texts"),
        pytest.param([1, 22], ["001 022"], id="token-ids"),
        pytest.param([[1], [2]], ["001", "002"], id="lists-of-token-ids"),
        pytest.param(None, [], id="nothing"),
    ],
)
def test_prompt_is_read_in_each_of_its_forms(given: object, texts: list[str]) -> None:
    assert texts_of(given) == texts


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": 1}', b'{"stream": "yes"}'])
def test_body_of_another_shape_is_an_error(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_asked(body)
