"""OpenAI's SDK against servers without TLS."""

import openai
from openai import AsyncOpenAI

CALL_S = 600.0
"""The SDK's own limit for a call."""


def plain_sdk(url: str, key: str = "sk-anything") -> AsyncOpenAI:
    """Tries once. As `AsyncOpenAI` makes itself, but for the certificates of all authorities, 27 ms to read them, and
    for the 5 s to connect: a busy machine may need longer.
    """
    http_client = openai.DefaultAsyncHttpxClient(verify=False)
    return AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=CALL_S, http_client=http_client)
