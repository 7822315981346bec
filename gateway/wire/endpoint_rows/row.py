"""What the rows of one kind have in common. Words of the table: SPEC §6 and reference §1.1."""

import msgspec

from gateway.core.call import BodyKind, Endpoint, ModelUse, StreamKind

Places = tuple[tuple[str, ...], ...]


def get(name: str, path: str, *, stream: StreamKind = StreamKind.NONE, is_download: bool = False) -> Endpoint:
    """Reads one object, or what belongs to one."""
    return Endpoint(name=name, method="GET", path=path, body=BodyKind.NONE, stream=stream, is_download=is_download)


def listing(name: str, path: str) -> Endpoint:
    """Lists objects of all accounts."""
    return Endpoint(name=name, method="GET", path=path, body=BodyKind.NONE, is_list=True)


def delete(name: str, path: str) -> Endpoint:
    return Endpoint(name=name, method="DELETE", path=path, body=BodyKind.NONE)


def creating(  # noqa: PLR0913  # the columns of a row, by name
    name: str,
    path: str,
    creates: str,
    *,
    body: BodyKind = BodyKind.JSON,
    stream: StreamKind = StreamKind.NONE,
    model: ModelUse = ModelUse.NONE,
    model_places: Places = (),
) -> Endpoint:
    """Makes an object, whose id the answer carries."""
    row = post(name, path, body=body, stream=stream, model=model, creates=creates, model_places=model_places)
    return msgspec.structs.replace(row, is_creating=True)


def giving_secret(name: str, path: str, *, model_places: Places) -> Endpoint:
    """Begins a session of which a secret in the answer is the key."""
    row = creating(name, path, "realtime_session", model_places=model_places)
    return msgspec.structs.replace(row, gives_secret=True)


def post(  # noqa: PLR0913  # the columns of a row, by name
    name: str,
    path: str,
    *,
    body: BodyKind = BodyKind.JSON,
    stream: StreamKind = StreamKind.NONE,
    model: ModelUse = ModelUse.NONE,
    is_creating: bool = False,
    creates: str | None = None,
    is_stateless: bool = False,
    model_places: Places = (),
) -> Endpoint:
    """Asks a model, changes an object, or acts on one."""
    return Endpoint(
        name=name,
        method="POST",
        path=path,
        body=body,
        stream=stream,
        model=model,
        is_creating=is_creating,
        creates=creates,
        is_stateless=is_stateless,
        model_places=model_places,
    )


def settling(row: Endpoint) -> Endpoint:
    """The row, whose answers begin or end what uses tokens after its call."""
    return msgspec.structs.replace(row, settles=True)
