import hashlib
import re

from gateway.ingress.schema import FILES
from tests.integration.admin.conftest import Admin

METHODS = {"get", "post", "patch", "delete"}


async def test_pages_ask_no_other_machine_for_anything(admin: Admin):
    page = await admin.client.get("/schema")

    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "://" not in page.text
    links = re.findall(r'(?:src|href|data-schema)="([^"]+)"', page.text)
    assert len(links) == 6
    for link in links:
        answer = await admin.client.get(link)
        assert answer.status_code == 200, link
        assert answer.headers["x-content-type-options"] == "nosniff"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "script-src 'self';" in policy
    assert "http" not in policy


async def test_page_has_no_inline_script_which_its_policy_would_stop(admin: Admin):
    page = (await admin.client.get("/schema")).text

    assert re.findall(r"<script>|<script [^>]*>[^<]+|\son\w+=", page) == []


async def test_every_operation_is_described_with_its_errors(admin: Admin):
    schema = (await admin.client.get("/schema/openapi.json")).json()

    operations = [
        (path, method, operation)
        for path, item in schema["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]
    assert len(operations) == 26
    for path, method, operation in operations:
        assert operation["summary"], path
        assert operation["tags"], path
        assert {"401", "403", "503"} <= set(operation["responses"]), (path, method)
        if "{" in path:
            assert "404" in operation["responses"], (path, method)
        for status, response in operation["responses"].items():
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"], (path, method, status)
        if method in {"post", "patch"} and "requestBody" in operation:
            assert operation["requestBody"]["content"]["application/json"]["schema"]["examples"], (path, method)
    assert schema["components"]["securitySchemes"]["admin_token"]["scheme"] == "bearer"
    assert schema["info"]["version"] == "1.2.3"


async def test_examples_of_requests_are_answered(admin: Admin):
    schema = (await admin.client.get("/schema/openapi.json")).json()
    for path in ("/api/v1/providers", "/api/v1/accounts", "/api/v1/routes", "/api/v1/keys"):
        content = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        for number, body in enumerate(content["schema"]["examples"]):
            if "auth_data" in body:
                body["auth_data"]["api_key"] = f"sk-proj-{number}"

            response = await admin.client.post(path, json=body)

            assert response.status_code == 201, (path, response.text)


def test_vendored_files_are_as_published():
    lines = (FILES / "CHECKSUMS").read_text().splitlines()

    named = dict(reversed(line.split()) for line in lines)

    ours = {"CHECKSUMS", "README.md", "start.js", "page.css"}
    assert set(named) == {path.name for path in FILES.iterdir()} - ours
    for name, checksum in named.items():
        assert hashlib.sha256((FILES / name).read_bytes()).hexdigest() == checksum, name


async def test_only_the_page_s_own_files_are_served(admin: Admin):
    for name in ("CHECKSUMS", "README.md", "..%2Fswagger-ui%2Fstart.js", "nothing.js"):
        answer = await admin.client.get(f"/schema/ui/{name}")

        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), name
