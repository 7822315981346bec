import pytest

from gateway.core.errors import InvalidCall, NotAllowed
from gateway.wire.paths import check_path, has_hidden_ends, usual_path


@pytest.mark.parametrize(
    "path",
    [
        "/files/file-abc/content",
        "/rerank",
        "/files/a%20b",
        "/models/ft:gpt-4o:acme::1",
        "/files/..a",
        "/files/a%2Fb",
        "/files/%E2%82%AC",
        "/chat/organization",
    ],
)
def test_plain_paths_pass(path):
    check_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "/files/../organization",
        "/files/./x",
        "/files/%2e%2E/x",
        "/files/..%2fx",
        "/files/..%5cx",
        "/files/..",
        "/files/a%0d%0ab",
        "/files/%00",
        "/files/%7f",
        "/files/\xe9",
        "/files/a b",
    ],
)
def test_paths_that_could_be_read_as_others_do_not(path):
    with pytest.raises(InvalidCall) as caught:
        check_path(path)

    assert caught.value.code == "invalid_path"


@pytest.mark.parametrize(
    "path",
    [
        "/organization/users",
        "//organization",
        "/%6frganization/x",
        "/Projects/x",
        "/projects",
        "/%2Fprojects",
        "/v1/projects",
    ],
)
def test_administration_is_refused_however_it_is_written(path):
    with pytest.raises(NotAllowed):
        check_path(path)


@pytest.mark.parametrize(
    ("path", "is_hidden"),
    [
        ("/files/file-1/content", False),
        ("/files/%66ile%2D1", False),
        ("/files/file-1%2Fcontent", True),
        ("/files/file-1;x=y", True),
        ("/files/file-1%3Bx", True),
        ("/files/file-1%3Fx", True),
        ("/files/file-1%23x", True),
        ("/files/file-1%20", True),
        ("/files/file-1%5Ccontent", True),
        ("/files/file-1%252Fcontent", True),
    ],
)
def test_an_id_may_not_end_where_only_another_server_sees_it(path, is_hidden):
    assert has_hidden_ends(path) is is_hidden


@pytest.mark.parametrize(
    ("path", "usual"),
    [
        ("/files", "/files"),
        ("/files/", "/files"),
        ("//files//file-1", "/files/file-1"),
        ("/%66iles/file%2D1", "/files/file-1"),
        ("/files\\file-1", "/files/file-1"),
        ("/", "/"),
    ],
)
def test_a_path_has_one_usual_form(path, usual):
    assert usual_path(path) == usual
