import re

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.store.cipher import Cipher
from tests.integration.admin.conftest import Admin


async def add(admin: Admin, **fields: object) -> dict:
    response = await admin.call("POST", "/keys", {"name": "my-app", **fields})
    assert response.status_code == 201, response.text
    return response.json()


async def test_key_is_shown_once_and_rests_as_a_keyed_hash(admin: Admin, engine: AsyncEngine, cipher: Cipher):
    made = await add(admin)

    key = made.pop("key")
    assert re.fullmatch(r"gw-[A-Za-z0-9_-]{43}", key)
    async with engine.connect() as connection:
        row = (await connection.execute(text("SELECT * FROM client_keys"))).mappings().one()
    assert row["digest"] == cipher.digest(key)
    assert key not in str(dict(row))
    shown = (await admin.call("GET", f"/keys/{made['id']}")).json()
    assert shown == made
    assert shown["hint"] == f"gw-…{key[-4:]}"


async def test_key_is_its_own_owner_unless_one_is_named(admin: Admin):
    own, team = await add(admin), await add(admin, owner="team-a")

    assert (own["owner"], team["owner"]) == (own["id"], "team-a")


async def test_limits_are_kept_and_said_not_to_be_enforced_yet(admin: Admin):
    made = await add(admin, rpm=60, tpm=100000, max_concurrency=4, budget_usd=12.5, models=["gpt-4*"])

    assert (made["rpm"], made["tpm"], made["max_concurrency"], made["budget_usd"]) == (60, 100000, 4, 12.5)
    assert (made["budget_period"], made["models"]) == ("month", ["gpt-4*"])
    assert made["warnings"] == ["rpm, tpm, max_concurrency, budget_usd: stored, not enforced by this release."]


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"name": ""}, "body.name"),
        ({"name": 1.5}, "body.name"),
        ({"rpm": 0}, "body.rpm"),
        ({"budget_usd": -1}, "body.budget_usd"),
        ({"budget_usd": 1e-9}, "body.budget_usd"),
        ({"budget_period": "month"}, "body.budget_period"),
        ({"budget_usd": 1, "budget_period": "year"}, "body.budget_period"),
        ({"expires_at": "tomorrow"}, "body.expires_at"),
        ({"expires_at": "2030-01-01T00:00:00"}, "body.expires_at"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "body.expires_at"),
        ({"models": "gpt-4"}, "body.models"),
    ],
)
async def test_bad_key_is_refused_with_the_place_named(admin: Admin, fields: dict, where: str):
    response = await admin.call("POST", "/keys", {"name": "my-app", **fields})

    assert response.status_code == 400, response.text
    assert response.json()["errors"][0]["where"] == where


async def test_revoked_key_stays_in_the_list_as_revoked(admin: Admin):
    revoked, kept = await add(admin), await add(admin)

    response = await admin.call("DELETE", f"/keys/{revoked['id']}")
    first = (await admin.call("GET", f"/keys/{revoked['id']}")).json()
    await admin.call("DELETE", f"/keys/{revoked['id']}")
    second = (await admin.call("GET", f"/keys/{revoked['id']}")).json()

    assert response.status_code == 204
    assert (first["is_active"], first["revoked_at"] is None) == (False, False)
    assert second["revoked_at"] == first["revoked_at"]
    active = (await admin.call("GET", "/keys?is_active=true")).json()["data"]
    inactive = (await admin.call("GET", "/keys?is_active=false")).json()["data"]
    assert [key["id"] for key in active] == [kept["id"]]
    assert [key["id"] for key in inactive] == [revoked["id"]]


async def test_unknown_key_is_not_found(admin: Admin):
    response = await admin.call("DELETE", "/keys/7c1b7c0e-1111-4222-8333-944445555666")

    assert response.status_code == 404


async def test_audit_names_the_key_by_its_hint_alone(admin: Admin, engine: AsyncEngine):
    key = (await add(admin))["key"]

    async with engine.connect() as connection:
        rows = [dict(row) for row in (await connection.execute(text("SELECT * FROM audit_log"))).mappings()]

    assert [(row["action"], row["changes"]["hint"]) for row in rows] == [("created", f"gw-…{key[-4:]}")]
    assert key not in str(rows)
