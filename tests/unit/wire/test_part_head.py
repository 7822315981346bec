import pytest

from gateway.wire.part_head import read_part_head

DISPOSITION = b"\r\nContent-Disposition: form-data; "


@pytest.mark.parametrize(
    ("head", "name", "is_file"),
    [
        (DISPOSITION + b'name="file_id"', b"file_id", False),
        (DISPOSITION + b"name=file_id", b"file_id", False),
        (b'\r\nCONTENT-DISPOSITION: FORM-DATA; NAME="a"', b"a", False),
        (DISPOSITION + b'name="a b%22c"; filename="x.txt"\r\nContent-Type: text/plain', b'a b"c', True),
        (DISPOSITION + b'name="file"; filename="a;b=c; name=x.txt"', b"file", True),
        (DISPOSITION + b"name=\"file\"; filename*=utf-8''%C3%A4.txt", b"file", True),
        (DISPOSITION + b'name="file"; filename="\xc3\xa4 \\"b\\".txt"; filename*=utf-8\'\'x', b"file", True),
        (b'\r\nContent-Type: text/plain\r\nContent-Disposition: form-data; name="a"', b"a", False),
        (DISPOSITION + b'name="a"\r\nContent-Transfer-Encoding: 8bit', b"a", False),
        (DISPOSITION + b'name="a"; filename="b"\r\nContent-Transfer-Encoding: base64', b"a", True),
        (DISPOSITION + b'name="a" ', b"a", False),
    ],
)
def test_what_clients_write_is_clear(head: bytes, name: bytes, is_file: bool) -> None:
    assert read_part_head(head) == (name, is_file, True)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\r\nContent-Type: text/plain",
        b'\r\nContent-Disposition: attachment; name="a"',
        DISPOSITION + b"name*=UTF-8''file%5fid",
        DISPOSITION + b"name=\"x\"; name*=UTF-8''file%5fid",
        DISPOSITION + b'name="x"; name="file_id"',
        DISPOSITION + b'filename="; name=x"; name="file_id"',
        DISPOSITION + b'filename="; name=file"; name="file"',
        DISPOSITION + b'name="x"\r\nContent-Disposition: form-data; name="file_id"',
        DISPOSITION + b'\r\n name="file_id"',
        DISPOSITION + b'name="x"\r\n ; name="file_id"',
        DISPOSITION + b'name="x"\nContent-Disposition: form-data; name="file_id"',
        DISPOSITION + b'name="x" ; name = "file_id"',
        b'\r\nContent-Disposition : form-data; name="file_id"',
        DISPOSITION + b'name="file_id"\r\nContent-Transfer-Encoding: quoted-printable',
        DISPOSITION + b'name="a"b',
        DISPOSITION + b'name="a\0"',
    ],
)
def test_what_servers_may_read_in_two_ways_is_not(head: bytes) -> None:
    assert not read_part_head(head).is_clear
