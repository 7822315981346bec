import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.masking import masked_identifiers, masked_identifiers_in_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in organization org-AbCd1234EfGh on", "in organization org-*** on"),
        ("in organization org-7 on", "in organization org-*** on"),
        ("in organization `org_01hx2abcdefghjkmnpqrstvwxy`", "in organization `org_***`"),
        ("Project `proj_AbC123` does not", "Project `proj_***` does not"),
        ("key provided: sk-ab**********xyz.", "key provided: sk-***."),
        ("sk-proj-A1b2_C3-d4 and sk-svcacct-99999999", "sk-*** and sk-***"),
        ("gsk_abcdefgh12 xai-abcdefgh12", "gsk_*** xai-***"),
        ("(sk-12345678)", "(sk-***)"),
        ("csk-abcdefghijkl nvapi-abcdefghijkl", "csk-*** nvapi-***"),
        ("hf_abcdefghijklmnop fw_abcdefghijklmnop", "hf_*** fw_***"),
        ("key AIzaSyA1234567890abc is", "key AIza*** is"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.c2ln is", "token eyJ*** is"),
        ("hf_hub fw_update AIza eyJust a word.", "hf_hub fw_update AIza eyJust a word."),
        ("for your organization (8d9f2b1c-0a1b-4c2d-8e3f-1234567890ab) of", "for your organization (***) of"),
        ("limit (org: 8d9f2b1c-0a1b-4c2d-8e3f-1234567890ab, model", "limit (org: ***, model"),
        ("item 8d9f2b1c-0a1b-4c2d-8e3f-1234567890ab", "item 8d9f2b1c-0a1b-4c2d-8e3f-1234567890ab"),
        ("task-12345678 desk-abcdefgh", "task-12345678 desk-abcdefgh"),
        ("import sk-learn in org-mode, proj_a", "import sk-learn in org-mode, proj_a"),
        ("", ""),
    ],
)
def test_identifiers_are_masked_and_words_stay(text, expected):
    assert masked_identifiers(text) == expected
    assert masked_identifiers_in_bytes(text.encode()) == expected.encode()


@pytest.mark.parametrize("before", ["\n", "\t", "\u00a0", "“", '"', "\\", "/", "é"])
def test_identifier_right_behind_an_escape_is_masked_in_json(before):
    body = json.dumps({"message": f"x{before}sk-proj-12345678"}).encode()

    masked = masked_identifiers_in_bytes(body)

    assert json.loads(masked) == {"message": f"x{before}sk-***"}


@given(
    st.lists(
        st.sampled_from(["org-", "proj_", "sk-", "abcdefgh1", "\n", '"', "\\", "é", " ", "n", "\U0001f600"]),
        max_size=12,
    ),
    st.booleans(),
)
def test_masked_json_is_json_of_the_same_shape_with_nothing_left_to_mask(parts, ascii_only):
    body = json.dumps({"error": {"message": "".join(parts), "code": None}}, ensure_ascii=ascii_only).encode()

    read = json.loads(masked_identifiers_in_bytes(body))

    assert read["error"].keys() == {"message", "code"}
    assert masked_identifiers(read["error"]["message"]) == read["error"]["message"]


@given(st.binary(max_size=60))
def test_bytes_that_are_no_text_pass(body):
    assert masked_identifiers_in_bytes(b"\xff" + body)[:1] == b"\xff"
