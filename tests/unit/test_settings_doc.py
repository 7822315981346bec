from gateway.settings_sources import OPENAI_NAMES, SECRET_VARIABLES
from scripts.settings_doc import PAGE, environment_name, rendered


def test_page_of_settings_is_what_the_code_says():
    assert PAGE.read_text() == rendered(), "run python -m scripts.settings_doc"


def test_variables_are_spelled_as_the_settings_read_them():
    assert environment_name("server.port") == "GATEWAY_SERVER__PORT"
    assert environment_name("database_url") == "DATABASE_URL"


def test_every_variable_without_our_prefix_stands_on_the_page():
    page = PAGE.read_text()

    assert [name for name in sorted({*OPENAI_NAMES, *SECRET_VARIABLES}) if f"`{name}`" not in page] == []
