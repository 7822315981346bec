from gateway.wire.acting import as_creating
from gateway.wire.endpoints import find


def test_a_response_that_acts_is_a_creating_call_of_the_same_endpoint():
    endpoint = find("POST", "/responses")

    creating = as_creating(endpoint)

    assert (endpoint.is_creating, creating.is_creating) == (False, True)
    assert creating.name == endpoint.name
