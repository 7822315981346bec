import pytest

from gateway.core.errors import InvalidCall
from gateway.relay.batch_file import check_upload


@pytest.mark.parametrize("purpose", ["batch", " Batch "])
def test_a_batch_is_not_taken_in_parts(purpose: str) -> None:
    with pytest.raises(InvalidCall) as refused:
        check_upload({"purpose": purpose})

    assert (refused.value.param, refused.value.code) == ("purpose", "invalid_batch_file")


@pytest.mark.parametrize("fields", [{}, {"purpose": "vision"}, {"purpose": None}, {"part_ids": ["batch"]}])
def test_other_uploads_are(fields: dict[str, object]) -> None:
    check_upload(fields)
