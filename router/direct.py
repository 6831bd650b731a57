"""The router's own port, for a rollback that needs neither Kafka nor judge nor status API."""

import asyncio
import secrets
import socket
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import SecretStr

from davylamp_sdk import __version__
from router.agent import Router
from router.answers import Knowledge, Latched
from router.errors import DiskError, NothingToRollBackError, NotLoopbackError, PortTakenError
from router.latch import Word
from router.tls import ServerTls
from schemas.names import ServiceName
from transport.bodies import Bounded
from transport.loopback import is_loopback

ANSWER_WITHIN_S = 3.0
"""How long the proxies are waited for before the answer says which of them are missing."""
_LOOK_S = 0.02


def create_app(router: Router, token: SecretStr) -> FastAPI:
    """The application: one command and one question, and only for whoever knows the token."""
    app = FastAPI(title="davylamp router", version=__version__, openapi_url=None)
    app.add_exception_handler(HTTPException, _refused)
    app.add_middleware(Bounded)

    async def known(authorization: Annotated[str, Header()] = "") -> None:
        expected = f"Bearer {token.get_secret_value()}"
        if not secrets.compare_digest(authorization.encode(), expected.encode()):
            raise HTTPException(401, "The token of this router's [router] direct_token is needed.")

    @app.get("/direct/rollouts/{service}", dependencies=[Depends(known)])
    async def rollout(service: ServiceName) -> Knowledge:
        """The newest rollout that this router knows, for whoever must name one without a status API."""
        return router.knowledge(service)

    @app.post("/direct/rollback", dependencies=[Depends(known)])
    async def roll_back(word: Word) -> Latched:
        """Share 0 for the rollout's canary, now."""
        try:
            entry = await router.roll_back(word)
        except NothingToRollBackError as error:
            raise HTTPException(409, str(error)) from error
        except DiskError as error:
            raise HTTPException(507, f"In force, but lost if this router restarts: {error}") from error
        return await _answer(router, word.service, entry.id)

    return app


async def serve(router: Router, token: SecretStr, host: str, port: int, tls: ServerTls | None = None) -> None:
    """Serve until cancelled. Raises :class:`router.errors.RouterError` if the port cannot be opened."""
    if tls is not None:
        tls.check()
    elif not is_loopback(host):
        raise NotLoopbackError(
            f"The direct port without TLS is served on loopback only, not on {host}: set direct_cert and direct_key, or "
            "direct_host."
        )
    config = uvicorn.Config(
        create_app(router, token),
        log_config=None,
        access_log=False,
        lifespan="off",
        ssl_certfile=tls.cert if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise PortTakenError(f"The direct port {port} cannot be opened ({error}): does another router run?") from error
    with listener:
        await _Server(config).serve([listener])


class _Server(uvicorn.Server):
    """Leaves the process's signals to the router."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # a generator that does nothing
        return nullcontext()


async def _answer(router: Router, service: str, entry: str) -> Latched:
    loop = asyncio.get_running_loop()
    end = loop.time() + ANSWER_WITHIN_S
    while not (latched := _latched(router, service, entry)).acknowledged and loop.time() < end:  # noqa: ASYNC110 - proxies
        await asyncio.sleep(_LOOK_S)
    return latched


def _latched(router: Router, service: str, entry: str) -> Latched:
    proxies = router.observe(service)
    acknowledged = bool(proxies) and all(proxy.state == "acknowledged" for proxy in proxies)
    return Latched(entry=entry, acknowledged=acknowledged, proxies=proxies)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
    body = {"type": "about:blank", "title": "Refused", "status": status, "detail": detail}
    return JSONResponse(body, status, media_type="application/problem+json")
