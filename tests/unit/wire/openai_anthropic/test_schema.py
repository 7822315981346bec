import pytest

from gateway.wire.openai_anthropic.schema import MAX_DEPTH, strict_schema


def test_a_schema_that_is_strict_already_stays_as_it_is():
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "enum": ["Rome"]},
            "at": {"type": ["string", "null"], "format": "date"},
        },
        "required": ["city", "at"],
        "additionalProperties": False,
        "$defs": {"x": {"type": "integer"}},
    }

    assert strict_schema(schema) == schema


def test_objects_are_closed_however_deep_they_stand():
    inner = {"type": ["object", "null"], "properties": {}}
    schema = {"type": "array", "items": {"anyOf": [inner, {"allOf": [inner]}, True]}, "definitions": {"x": inner}}

    closed = {**inner, "additionalProperties": False}
    assert strict_schema(schema) == {
        "type": "array",
        "items": {"anyOf": [closed, {"allOf": [closed]}, True]},
        "definitions": {"x": closed},
    }


def test_what_anthropic_does_not_enforce_is_told_to_the_model():
    schema = {"type": "integer", "minimum": 1, "maximum": 9, "description": "Stars"}

    assert strict_schema(schema) == {"type": "integer", "description": 'Stars\n\n{"minimum":1,"maximum":9}'}
    assert strict_schema({"type": "string", "format": "iban"})["description"] == '{"format":"iban"}'
    assert strict_schema({"type": "array", "minItems": 1})["minItems"] == 1
    assert "minItems" not in strict_schema({"type": "array", "minItems": 3})


def test_one_of_becomes_any_of():
    assert strict_schema({"oneOf": [{"type": "string"}]}) == {"anyOf": [{"type": "string"}]}


def test_what_is_no_schema_stays_for_the_upstream_to_judge():
    odd = {"type": "object", "properties": "x", "items": False, "anyOf": 5, "minItems": [1], "format": {}}

    assert strict_schema(odd)["anyOf"] == 5


def test_a_schema_without_end_is_refused():
    schema: dict = {"type": "string"}
    for _ in range(MAX_DEPTH + 2):
        schema = {"items": schema}

    with pytest.raises(RecursionError):
        strict_schema(schema)
