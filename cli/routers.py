"""The routers' own ports as the command line asks them: all at once, and each answers for itself."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import httpx2
from pydantic import BeforeValidator, Field, SecretStr

from cli.client import is_token
from davylamp_sdk._message import Message
from router.answers import Knowledge, Latched
from router.latch import Word
from transport.settings import Settings, SettingsError

M = TypeVar("M", bound=Message)

_NOT_KEPT = 507
_LIMITS = httpx2.Timeout(10.0, connect=2.0)
"""A router answers within six seconds: three for its disk, three for its proxies, whether they did or not."""


def _listed(value: Any) -> Any:
    """In an environment variable, URLs are separated by commas."""
    return [url.strip() for url in value.split(",") if url.strip()] if isinstance(value, str) else value


class DirectSettings(Settings):
    """The table ``[direct]``: how the command line reaches the routers when nothing else can be reached."""

    routers: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        default=(), description="URL of every router's direct port: all of them, for each rules its own proxies."
    )
    token: SecretStr | None = Field(default=None, description="The routers' [router] direct_token.")
    ca: Path | None = Field(default=None, description="Who signed the routers' direct_cert; default: the system's CAs.")


@dataclass(frozen=True, slots=True)
class Failure:
    """A router did not do it, or nobody knows whether it did; a sentence."""

    sentence: str
    in_force: bool = False
    """It did it, and could not keep it on its disk."""


Answers = Mapping[str, M | Failure]
"""By router's URL."""


class Routers:
    """Every router that is listed."""

    def __init__(
        self,
        urls: Sequence[str],
        token: SecretStr,
        ca: Path | None = None,
        transports: Mapping[str, httpx2.AsyncBaseTransport] | None = None,
    ) -> None:
        """Raises :class:`transport.settings.SettingsError` for a CA that cannot be read, or what can be no token."""
        if not is_token(token.get_secret_value()):
            raise SettingsError(
                "[direct] token: a token is of printable ASCII characters, without a space at its ends: give the routers' own"
            )
        self._urls = tuple(dict.fromkeys(url.rstrip("/") for url in urls))
        self._headers = {"authorization": f"Bearer {token.get_secret_value()}"}
        self._verify = _verify(ca)
        self._transports = transports or {}

    async def knowledge(self, service: str) -> Answers[Knowledge]:
        """What each knows of the service's newest rollout."""
        return await self._all("GET", f"/direct/rollouts/{service}", None, Knowledge)

    async def roll_back(self, word: Word) -> Answers[Latched]:
        """Say it to each; as often as one likes, for it is in force once."""
        return await self._all("POST", "/direct/rollback", word.dump(), Latched)

    async def _all(self, method: str, path: str, body: bytes | None, answer: type[M]) -> dict[str, M | Failure]:
        asked = [self._one(url, method, path, body, answer) for url in self._urls]
        return dict(zip(self._urls, await asyncio.gather(*asked), strict=True))

    async def _one(self, url: str, method: str, path: str, body: bytes | None, answer: type[M]) -> M | Failure:
        options: dict[str, Any] = {"timeout": _LIMITS, "verify": self._verify, "transport": self._transports.get(url)}
        headers = {**self._headers, "content-type": "application/json"}
        try:
            async with httpx2.AsyncClient(**options) as http:
                response = await http.request(method, url + path, content=body, headers=headers)
        except httpx2.TimeoutException:
            return Failure("it did not answer in time: nobody knows whether it heard")
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return Failure(f"it is not reachable ({error}): is it running, and is this its direct port?")
        try:
            if response.is_error:
                return Failure(_detail(response), in_force=response.status_code == _NOT_KEPT)
            return answer.read(response.content)
        except ValueError:
            return Failure("what answered is no router of davylamp")


def _verify(ca: Path | None) -> ssl.SSLContext | bool:
    try:
        return ssl.create_default_context(cafile=ca) if ca is not None else True
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"[direct] ca: {ca} is no CA certificate: {error}") from error


def _detail(response: httpx2.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"it answered {response.status_code}"
