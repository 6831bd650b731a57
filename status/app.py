"""The status API: what people and the command line ask, and the only door for their words."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from davylamp_sdk import __version__
from status import definitions, proxies, reads, words
from status.desk import ANSWER_WITHIN_S, Desk
from status.door import Door
from status.feed import Feed
from status.problems import answer_problems
from status.tokens import Token
from transport.clock import Clock, SystemClock
from transport.log import Reader, Writer


def create_app(
    reader: Reader,
    writer: Writer,
    *,
    tokens: tuple[Token, ...] = (),
    clock: Clock | None = None,
    answer_within_s: float = ANSWER_WITHIN_S,
) -> FastAPI:
    """The application over a log. Its lifespan follows `reader` and closes both at the end.

    Without `tokens` everybody may do everything: the settings allow that on loopback only.
    """
    feed = Feed(reader)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(feed.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await reader.close()
            await writer.close()

    app = FastAPI(title="davylamp", version=__version__, lifespan=lifespan)
    app.state.desk = Desk(feed, writer, clock or SystemClock(), answer_within_s)
    app.add_middleware(Door, tokens=tokens)
    for part in (reads, definitions, words, proxies):
        app.include_router(part.routes)
    answer_problems(app)
    return app
