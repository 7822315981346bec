from gateway.wire.refusals import kind_of, missing_model


def test_kinds_are_named_as_openai_names_them():
    values = [{}, [], "", True, 1, 1.5, None]

    assert [kind_of(value) for value in values] == [
        "an object",
        "an array",
        "a string",
        "a boolean",
        "an integer",
        "a decimal number",
        "null",
    ]


def test_a_missing_model_names_the_parameter():
    error = missing_model()

    assert (error.status, error.param, error.code) == (400, "model", "missing_required_parameter")
