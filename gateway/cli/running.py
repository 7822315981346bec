"""The gateway that runs by these settings, as commands ask it."""

import httpx2
import msgspec

from gateway.settings import Settings

ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  # what a gateway listens on, not this command
ASKED_S = 2.0


def url_of(settings: Settings) -> str:
    """Where the settings say that it listens."""
    host = ANYWHERE.get(settings.server.host, settings.server.host)
    return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{settings.server.port}"


def headrooms_of(settings: Settings, account_ids: list[str], model: str) -> dict[str, str]:
    """What is left of each account's limits for a model, in words; empty where no gateway answers, or knows."""
    token = settings.admin_token
    headers = {"authorization": f"Bearer {token.reveal()}"} if token else {}
    found = {}
    try:
        with httpx2.Client(base_url=url_of(settings), headers=headers, timeout=ASKED_S, trust_env=False) as client:
            for account_id in account_ids:
                answer = client.get(f"/api/v1/accounts/{account_id}/status")
                if answer.status_code == 200:
                    found[account_id] = _in_words(answer.content, model)
    except (httpx2.HTTPError, httpx2.InvalidURL, msgspec.DecodeError):
        pass  # it explains what it can
    return found


class _Left(msgspec.Struct):
    dimension: str
    limit: int
    left: int


class _Scope(msgspec.Struct):
    what: str
    limits: list[_Left]


class _Status(msgspec.Struct):
    headroom: list[_Scope] = []


def _in_words(body: bytes, model: str) -> str:
    """`7 of 10 requests, 950 of 1000 tokens`. Limits may be named after the family: `gpt-4o` covers `gpt-4o-mini`."""
    status = msgspec.json.decode(body, type=_Status)
    mine = [scope for scope in status.headroom if model == scope.what or model.startswith(f"{scope.what}-")]
    left = [limit for scope in mine for limit in scope.limits]
    return ", ".join(f"{max(one.left, 0)} of {one.limit} {one.dimension.replace('_', ' ')}" for one in left)
