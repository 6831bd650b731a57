"""One HTTP request to somebody outside: bounded in time, and its URL is a secret that no error and no log line has."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Literal

import httpx2

ATTEMPT_S = 10.0


class UntakenError(Exception):
    """It did not arrive, or was not taken; the words say why."""


async def ask(
    method: Literal["GET", "POST"],
    url: str,
    transport: httpx2.AsyncBaseTransport | None = None,
    *,
    content: bytes = b"",
    headers: Mapping[str, str] | None = None,
    follow_redirects: bool = False,
) -> None:
    """Return once it was taken (2xx); what the answer says is not read. Raises :class:`UntakenError` within a bound."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs every URL that it asks for
    try:
        async with (
            asyncio.timeout(ATTEMPT_S),
            httpx2.AsyncClient(transport=transport, follow_redirects=follow_redirects) as http,
            http.stream(method, url, content=content, headers=headers) as answer,
        ):
            taken, status = answer.is_success, answer.status_code
    except TimeoutError:
        raise UntakenError(f"no answer within {ATTEMPT_S:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise UntakenError(type(error).__name__) from None
    if not taken:
        raise UntakenError(f"it answers {status}")
