import pytest

from tests.integration.admin.conftest import Admin


async def add(admin: Admin, **fields: object) -> dict:
    response = await admin.call("POST", "/routes", {"pattern": "my-model", "provider_id": "openai", **fields})
    assert response.status_code == 201, response.text
    return response.json()


async def test_route_is_made_and_found_by_its_pattern_whatever_the_case(admin: Admin):
    await admin.add_provider()
    route = await add(admin, pattern="My-Model", upstream_model="gpt-4o", fallbacks=["gpt-4"], priority=3)

    found = (await admin.call("GET", "/routes?pattern=my-model")).json()

    assert found["data"] == [route]
    assert (route["upstream_model"], route["fallbacks"], route["priority"]) == ("gpt-4o", ["gpt-4"], 3)
    assert route["warnings"] == []


async def test_route_to_a_provider_that_is_not_there_yet_is_kept_with_a_warning(admin: Admin):
    assert "no provider openai yet" in (await add(admin))["warnings"][0]


async def test_seeded_routes_are_listed_as_such(admin: Admin):
    seeded = (await admin.call("GET", "/routes?pattern=gpt-*")).json()["data"]

    assert [(route["provider_id"], route["managed_by"]) for route in seeded] == [("openai", "seed")]


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"pattern": ""}, "body.pattern"),
        ({"pattern": "a*b"}, "body.pattern"),
        ({"pattern": "**"}, "body.pattern"),
        ({"provider_id": 5}, "body.provider_id"),
        ({"fallbacks": "gpt-4"}, "body.fallbacks"),
        ({"priority": 2**31}, "body.priority"),
    ],
)
async def test_bad_route_is_refused_with_the_place_named(admin: Admin, fields: dict, where: str):
    response = await admin.call("POST", "/routes", {"pattern": "m", "provider_id": "openai", **fields})

    assert (response.status_code, response.json()["errors"][0]["where"]) == (400, where)


async def test_same_pattern_provider_and_priority_twice_is_a_conflict(admin: Admin):
    await add(admin)
    other = await add(admin, priority=1)

    again = await admin.call("POST", "/routes", {"pattern": "MY-MODEL", "provider_id": "openai"})
    moved = await admin.call("PATCH", f"/routes/{other['id']}", {"priority": 0})

    assert (again.status_code, moved.status_code) == (409, 409)
    assert (await admin.call("GET", "/routes?pattern=my-model")).json()["total"] == 2


async def test_patch_tells_null_from_absent(admin: Admin):
    route = await add(admin, upstream_model="gpt-4o", fallbacks=["gpt-4"])

    changed = (await admin.call("PATCH", f"/routes/{route['id']}", {"upstream_model": None})).json()

    assert (changed["upstream_model"], changed["fallbacks"]) == (None, ["gpt-4"])


async def test_removed_route_is_gone(admin: Admin):
    route = await add(admin)

    gone = await admin.call("DELETE", f"/routes/{route['id']}")
    again = await admin.call("GET", f"/routes/{route['id']}")

    assert (gone.status_code, again.status_code) == (204, 404)
