from gateway.core.call import StreamKind
from gateway.wire.reading import reader_for
from gateway.wire.stream import StreamReader
from gateway.wire.typed_stream import TypedReader
from tests.fakes.typed_events import (
    endpoint,
)


def test_each_endpoint_has_its_reader():
    assert isinstance(reader_for(endpoint(), hides_usage=True), TypedReader)
    assert isinstance(reader_for(endpoint(stream=StreamKind.CHAT), hides_usage=True), StreamReader)
