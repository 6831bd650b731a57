"""`davylamp run remote-judge`: Kayenta's ``RemoteJudge-v1.0`` asks us instead of its own judge. Nobody else needs it.

Kayenta posts ``{canaryConfig, scoreThresholds, metricSetPairList}`` to ``<baseUrl>/judge`` and reads a ``CanaryJudgeResult``
(``RemoteJudge.java``, ``RemoteJudgeService.java`` in spinnaker/kayenta); it waits for 90 s. It cannot send a header of its
own, so its base URL may end in the token: ``https://judge.example.com/<token>``.
"""

import asyncio
import hashlib
import hmac
from typing import Annotated, Any, Self

import uvicorn
from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse
from pydantic import Field, StringConstraints, model_validator

from davylamp_sdk import __version__
from judge.policies.kayenta.settings import ConfigError
from judge.policies.kayenta.wire import judge_remotely
from schemas.documents import DocumentError, read_json
from transport.loopback import LOOPBACK, is_loopback
from transport.process import loading_settings, start_logging
from transport.settings import Settings

_CONNECTIONS = 64
"""At once; further ones are told to come back."""


class RemoteJudgeSettings(Settings):
    """The table ``[remote_judge]``."""

    host: str = Field(default="127.0.0.1", description="Anything but loopback needs `token_sha256`.")
    port: int = Field(default=8643, ge=1, le=65535, description="Where Kayenta asks.")
    token_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None, description="Of the token that callers must show: `davylamp token new NAME` makes one."
    )
    max_body_mb: float = Field(default=32, gt=0, description="A longer request is refused.")

    @model_validator(mode="after")
    def _closed_or_local(self) -> Self:
        if self.token_sha256 is None and not is_loopback(self.host):
            raise ValueError(f"without token_sha256 it listens on loopback only ({LOOPBACK}), not on {self.host}")
        return self


class Refusal(Exception):  # noqa: N818 - what the caller gets
    """The request was not judged."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def create_app(settings: RemoteJudgeSettings) -> FastAPI:
    """The application. Whatever it is asked it answers from the request alone; it keeps and logs nothing of it."""
    app = FastAPI(title="davylamp remote judge", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/judge")
    async def judge(request: Request, authorization: Annotated[str, Header()] = "") -> JSONResponse:
        return await _answer(request, authorization.removeprefix("Bearer ").strip(), settings)

    @app.post("/{token}/judge")
    async def judge_by_url(request: Request, token: str) -> JSONResponse:
        return await _answer(request, token, settings)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Refusal) -> JSONResponse:
        # `message` is what Spinnaker's services show of an error.
        body = {"status": refusal.status, "detail": str(refusal), "message": str(refusal)}
        return JSONResponse(body, refusal.status, media_type="application/problem+json")

    return app


async def _answer(request: Request, token: str, settings: RemoteJudgeSettings) -> JSONResponse:
    if settings.token_sha256 and not hmac.compare_digest(_fingerprint(token), settings.token_sha256):
        raise Refusal(401, "Show the token: Authorization: Bearer …, or /<token>/judge for callers without headers.")
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refusal(415, "Send application/json.")
    document = _parsed(await _body(request, settings.max_body_mb))
    return JSONResponse(await asyncio.to_thread(_judged, document))


async def _body(request: Request, max_mb: float) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_mb * 1_000_000:
            raise Refusal(413, f"The request is longer than {max_mb:g} MB (max_body_mb).")
    return bytes(body)


def _parsed(body: bytes) -> Any:
    try:
        return read_json(body)
    except DocumentError as error:
        raise Refusal(422, f"The body: {error}") from error
    except ValueError as error:
        raise Refusal(400, f"The body is no JSON: {error}") from error


def _judged(document: Any) -> dict[str, Any]:
    try:
        return judge_remotely(document)
    except ConfigError as error:
        raise Refusal(422, str(error)) from error


def _fingerprint(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


async def serve(settings: RemoteJudgeSettings) -> None:
    """Serve until told to stop."""
    app = create_app(settings)
    config = uvicorn.Config(
        app, settings.host, settings.port, log_config=None, access_log=False, limit_concurrency=_CONNECTIONS
    )
    await uvicorn.Server(config).serve()


def main() -> None:
    """Run the remote judge until it is told to stop."""
    start_logging()
    with loading_settings():
        settings = RemoteJudgeSettings.load("remote_judge")
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
