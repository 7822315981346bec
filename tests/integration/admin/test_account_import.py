import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.admin.conftest import KEY, OTHER, Admin, rows_of


async def test_import_answers_for_each_line(admin: Admin, engine: AsyncEngine):
    await admin.add_provider()
    await admin.add_account(KEY)
    keys = f"{OTHER}\n\n# a comment\n{KEY}\nsk-admin-00000000000\n{OTHER}\n"

    response = await admin.call("POST", "/accounts/import", {"provider_id": "openai", "keys": keys})

    answer = response.json()
    assert response.status_code == 200
    assert [(key["line"], key["result"]) for key in answer["keys"]] == [
        (1, "created"),
        (4, "duplicate"),
        (5, "invalid"),
        (6, "duplicate"),
    ]
    assert (answer["created"], answer["duplicate"], answer["invalid"]) == (1, 2, 1)
    assert answer["keys"][0]["key"] == "sk-…vuts"
    assert len(await rows_of(engine, "SELECT id FROM accounts")) == 2


async def test_import_takes_a_list_as_well(admin: Admin):
    await admin.add_provider()

    response = await admin.call("POST", "/accounts/import", {"provider_id": "openai", "keys": [KEY, OTHER]})

    assert response.json()["created"] == 2


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"provider_id": "openai", "keys": "\n"}, "body.keys"),
        ({"provider_id": "openai", "keys": ["sk-x"] * 1001}, "body.keys"),
        ({"provider_id": "nobody", "keys": "sk-x"}, "body.provider_id"),
        ({"provider_id": "openai"}, "body"),
    ],
)
async def test_import_that_cannot_begin_is_refused(admin: Admin, body: dict, where: str):
    await admin.add_provider()

    response = await admin.call("POST", "/accounts/import", body)

    assert response.status_code == 400
    assert response.json()["errors"][0]["where"] == where
