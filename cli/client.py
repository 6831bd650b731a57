"""The status API as the command line calls it."""

import os
from collections.abc import Mapping
from typing import Any, Self

import httpx2

from davylamp_sdk._message import canonical_json
from schemas.plan import Plan
from schemas.service import Service

TOKEN_VARIABLE = "DAVYLAMP_TOKEN"  # noqa: S105 - the variable's name

_AWAY = 503
_UNANSWERED = 502, 504
"""Of the API itself, or of a proxy before it."""


def is_token(text: str) -> bool:
    """Whether a header can carry it. RFC 6750 wants no space in one; whoever has one all the same must not be kept from a rollback by that."""
    return text.isascii() and text.isprintable() and text == text.strip()


class ApiError(Exception):
    """The status API refused, or could not be reached."""


class AwayError(ApiError):
    """It could not be reached, or cannot reach the log itself."""


class UnansweredError(ApiError):
    """It was written, and nobody has said yet what became of it."""


class Client:
    """A thin client: one method a route. Raises :class:`ApiError` with a sentence for people.

    It names itself by `token`, or by the one in `DAVYLAMP_TOKEN`; to an API without tokens by `actor`. A token or a URL
    that nobody could use is refused at once.
    """

    def __init__(
        self,
        url: str,
        transport: httpx2.BaseTransport | None = None,
        *,
        token: str | None = None,
        actor: str = "cli",
        timeout_s: float = 20.0,
    ) -> None:
        self._url = url
        self._actor = actor
        token = token or os.environ.get(TOKEN_VARIABLE)
        if token and not is_token(token):
            raise ApiError(f"{TOKEN_VARIABLE} is no token: `davylamp token new NAME` makes one, of letters and digits.")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        try:
            scheme = httpx2.URL(url).scheme
            self._http = httpx2.Client(base_url=url, timeout=timeout_s, transport=transport, headers=headers)
        except (httpx2.InvalidURL, ValueError) as error:
            raise ApiError(_no_url(url, str(error))) from error
        if scheme not in {"http", "https"}:
            raise ApiError(_no_url(url, "it begins with neither http:// nor https://"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def rollout(self, service: str) -> dict[str, Any]:
        """One service with its newest rollout."""
        found: dict[str, Any] = self._call("GET", f"/api/rollouts/{service}")
        return found

    def rollouts(self) -> list[dict[str, Any]]:
        """Every service with its newest rollout."""
        found: list[dict[str, Any]] = self._call("GET", "/api/rollouts")
        return found

    def history(self, service: str) -> list[dict[str, Any]]:
        """Every accepted entry of a service, oldest first."""
        found: list[dict[str, Any]] = self._call("GET", f"/api/rollouts/{service}/history")
        return found

    def explain(self, service: str) -> str:
        """The last decision in full, with every check, as text."""
        return self._ask("GET", f"/api/rollouts/{service}/text").text

    def ready(self) -> str | None:
        """The API's own time, as HTTP tells it (RFC 9110, `Date`), once it follows the log."""
        return self._ask("GET", "/readyz").headers.get("date")

    def version(self) -> str:
        """The version of davylamp that answers."""
        return str(self._call("GET", "/openapi.json")["info"]["version"])

    def health(self) -> list[dict[str, Any]]:
        """Whether telemetry, judge, proxies and log are well, by service."""
        found: list[dict[str, Any]] = self._call("GET", "/api/health")
        return found

    def apply(self, service: Service) -> None:
        """Register or change a service."""
        self._call("PUT", f"/api/services/{service.service}", service.dump())

    def start(
        self, plan: Plan, actor: str | None = None, *, reason: str = "", replace: bool = False, again: bool = False
    ) -> str:
        """Start a rollout; the judge's sentence."""
        flags = {"replace": replace, "again": again}
        query = {"reason": reason} | {name: "true" for name, wanted in flags.items() if wanted}
        answer: dict[str, str] = self._call("POST", "/api/rollouts", plan.dump(), query, actor)
        return answer["sentence"]

    def proxies(self) -> list[dict[str, Any]]:
        """Every proxy that exists, by service."""
        found: list[dict[str, Any]] = self._call("GET", "/api/proxies")
        return found

    def forget(self, proxy: str, service: str | None, reason: str) -> str:
        """Let a proxy that is gone for good exist no more; the sentence of what it did."""
        body = {"proxy": proxy, "reason": reason} | ({"service": service} if service else {})
        answer: dict[str, str] = self._call("POST", "/api/proxies/forget", canonical_json(body))
        return answer["sentence"]

    def say(self, service: str, word: str, body: Mapping[str, Any]) -> str:
        """A person's word (`approve`, `hold`, `rollback`, …); the sentence of what it did."""
        answer: dict[str, str] = self._call("POST", f"/api/rollouts/{service}/{word}", canonical_json(dict(body)))
        return answer["sentence"]

    def _call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
        actor: str | None = None,
    ) -> Any:
        return self._ask(method, path, body, query, actor).json()

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
        actor: str | None = None,
    ) -> httpx2.Response:
        headers = {"content-type": "application/json"}
        params = {**(query or {}), "actor": actor or self._actor}
        try:
            response = self._http.request(method, path, content=body, params=params, headers=headers)
        except (httpx2.ReadTimeout, httpx2.WriteTimeout) as error:
            said = f"{self._url} has not answered in time: nobody knows whether it was done. davylamp doctor says what is away."
            raise UnansweredError(said) from error
        except httpx2.HTTPError as error:
            raise AwayError(f"{self._url} is not reachable ({error}): is `davylamp up` running?") from error
        if response.status_code in _UNANSWERED:
            raise UnansweredError(_detail(response))
        if response.status_code == _AWAY:
            raise AwayError(_detail(response))
        if response.is_error:
            raise ApiError(_detail(response))
        return response


def _no_url(url: str, why: str) -> str:
    return f"{url} is no URL ({why}): write it like http://127.0.0.1:8642, as --url or DAVYLAMP_URL."


def _detail(response: httpx2.Response) -> str:
    try:
        found = response.json()
        mistakes = [f"  {m['path'] or 'the whole'}: {m['message']}" for m in found.get("errors", [])]
        return "\n".join(["It is refused, nothing has moved:", *mistakes]) if mistakes else str(found["detail"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{response.request.method} {response.request.url} answered {response.status_code}"
