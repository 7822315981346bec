import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.cipher import (
    BrokenSeal,
    Cipher,
    InvalidKeys,
    UnknownKey,
    is_sealed,
    new_key,
    parse_keys,
    write_keys,
)

K1 = "k1:" + base64.b64encode(b"1" * 32).decode()
K2 = "k2:" + base64.b64encode(b"2" * 32).decode()
SECRET = {"api_key": "sk-proj-abcdefghijklmnop"}


def cipher(text: str = K1) -> Cipher:
    return Cipher(parse_keys(text))


def test_what_was_sealed_opens_and_shows_nothing() -> None:
    envelope = cipher().seal(SECRET, "a1")

    assert is_sealed(envelope)
    assert (envelope["$enc"], envelope["kid"]) == (1, "k1")
    assert "sk-proj" not in repr(envelope)
    assert cipher().open(envelope, "a1") == SECRET


def test_the_same_secret_is_sealed_differently_each_time() -> None:
    assert cipher().seal(SECRET, "a1") != cipher().seal(SECRET, "a1")


def test_an_envelope_moved_to_another_row_does_not_open() -> None:
    envelope = cipher().seal(SECRET, "a1")

    with pytest.raises(BrokenSeal):
        cipher().open(envelope, "a2")


def test_the_first_key_seals_and_all_open() -> None:
    old = cipher(K1).seal(SECRET, "a1")
    both = cipher(f"{K2},{K1}")

    assert both.open(old, "a1") == SECRET
    assert both.seal(SECRET, "a1")["kid"] == "k2"
    assert both.needs_sealing(old)
    assert not both.needs_sealing(both.seal(SECRET, "a1"))
    assert both.needs_sealing(SECRET)


def test_an_unknown_key_is_named_with_what_to_set() -> None:
    envelope = cipher(K2).seal(SECRET, "a1")

    with pytest.raises(UnknownKey, match=r"'k2'.*GATEWAY_ENCRYPTION_KEYS") as unknown:
        cipher(K1).open(envelope, "a1")

    assert unknown.value.key_id == "k2"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"$enc": 2}, id="another-form"),
        pytest.param({"$enc": "1"}, id="form-of-another-type"),
        pytest.param({"n": "!!"}, id="nonce-not-base64"),
        pytest.param({"n": ""}, id="nonce-empty"),
        pytest.param({"ct": "AAAA"}, id="ciphertext-cut"),
        pytest.param({"ct": 5}, id="ciphertext-no-text"),
        pytest.param({"kid": None}, id="no-key-id"),
    ],
)
def test_a_damaged_envelope_is_a_broken_seal(change: dict[str, object]) -> None:
    with pytest.raises(BrokenSeal):
        cipher().open({**cipher().seal(SECRET, "a1"), **change}, "a1")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
    st.text(max_size=20),
)
def test_any_json_value_comes_back(value: object, row: str) -> None:
    assert cipher().open(cipher().seal(value, row), row) == value


def test_a_digest_is_found_with_every_configured_key() -> None:
    made_before = cipher(K1).digest("gw-abc")
    after = cipher(f"{K2},{K1}")

    assert made_before in after.digests("gw-abc")
    assert after.digest("gw-abc") == after.digests("gw-abc")[0] != made_before
    assert made_before not in after.digests("gw-abd")


def test_a_digest_of_a_key_that_is_gone_is_known_as_such() -> None:
    made_before = cipher(K1).digest("gw-abc")

    assert cipher(f"{K2},{K1}").knows_digest(made_before)
    assert not cipher(K2).knows_digest(made_before)


def test_a_digest_does_not_depend_on_the_key_ids_name() -> None:
    assert cipher(K1).digest("x") == cipher(K1.replace("k1:", "other:")).digest("x")


def test_keys_are_read_in_order_with_either_alphabet_and_without_padding() -> None:
    secret = bytes(range(224, 256))
    plain = base64.b64encode(secret).decode()
    urlsafe = base64.urlsafe_b64encode(secret).decode().rstrip("=")

    keys = parse_keys(f" b:{plain} ,\n a:{urlsafe}\n")

    assert [(key.id, key.secret) for key in keys] == [("b", secret), ("a", secret)]
    assert parse_keys(write_keys(keys)) == keys


def test_a_new_key_is_random_and_readable() -> None:
    (first,), (second,) = parse_keys(new_key("k1")), parse_keys(new_key("k1"))

    assert first.id == "k1"
    assert first.secret != second.secret


def test_a_key_does_not_print() -> None:
    assert "1111" not in repr(parse_keys(K1))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "no encryption key", id="empty"),
        pytest.param(" , ", "no encryption key", id="blank"),
        pytest.param("aHVudGVyMg==", "number 1 must read", id="no-id"),
        pytest.param(f"{K1},:aHVudGVyMg==", "number 2 must read", id="empty-id"),
        pytest.param("k 1:aHVudGVyMg==", "number 1", id="odd-id"),
        pytest.param("k1:hunter2!", "'k1' is not base64", id="not-base64"),
        pytest.param("k1:aHVudGVyMg==", "'k1' has 7 bytes, expected 32", id="too-short"),
        pytest.param(f"{K1},{K1}", "'k1' is given twice", id="twice"),
    ],
)
def test_wrong_keys_are_named_and_not_shown(text: str, says: str) -> None:
    with pytest.raises(InvalidKeys, match=says) as refused:
        parse_keys(text)

    assert "aHVudGVyMg" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


@given(st.binary(max_size=100))
def test_bytes_are_sealed_for_their_place_alone(content: bytes) -> None:
    sealed = cipher().seal_bytes(content, "here")

    assert cipher(f"{K2},{K1}").open_bytes(sealed, "here") == content
    assert len(content) < 8 or content not in sealed
    with pytest.raises(BrokenSeal):
        cipher().open_bytes(sealed, "there")
    with pytest.raises(UnknownKey):
        cipher(K2).open_bytes(sealed, "here")


@pytest.mark.parametrize("sealed", [b"k1\0", b"k1\0short", b"k1\0" + b"x" * 40])
def test_bytes_that_are_damaged_do_not_open(sealed: bytes) -> None:
    with pytest.raises(BrokenSeal):
        cipher().open_bytes(sealed, "here")
