"""The status API as the command line calls it."""

from typing import Any, Self

import httpx2

from schemas.plan import Plan
from schemas.service import Service


class ApiError(Exception):
    """The status API refused, or could not be reached."""


class Client:
    """A thin client: one method a route. Raises :class:`ApiError` with a sentence for people."""

    def __init__(self, url: str, transport: httpx2.BaseTransport | None = None) -> None:
        self._url = url
        self._http = httpx2.Client(base_url=url, timeout=20.0, transport=transport)

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

    def apply(self, service: Service) -> None:
        """Register or change a service."""
        self._call("PUT", f"/api/services/{service.service}", service.dump())

    def start(self, plan: Plan, actor: str) -> str:
        """Start a rollout; the judge's sentence."""
        answer: dict[str, str] = self._call("POST", "/api/rollouts", plan.dump(), {"actor": actor})
        return answer["sentence"]

    def _call(self, method: str, path: str, body: bytes | None = None, query: dict[str, str] | None = None) -> Any:
        headers = {"content-type": "application/json"}
        try:
            response = self._http.request(method, path, content=body, params=query, headers=headers)
        except httpx2.HTTPError as error:
            raise ApiError(f"{self._url} is not reachable ({error}): is `davylamp up` running?") from error
        if response.is_error:
            raise ApiError(_detail(response))
        return response.json()


def _detail(response: httpx2.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{response.request.method} {response.request.url} answered {response.status_code}"
