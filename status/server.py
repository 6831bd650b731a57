"""The web server: uvicorn, which ends the live streams first when it is told to stop."""

from typing import Any

import uvicorn
from fastapi import FastAPI

STOPS_WITHIN_S = 1
"""Requests that still run then are cut off: a person's word is in the log by then, or was never written."""


class Server(uvicorn.Server):
    """Serves `app`. Streams never end by themselves, and uvicorn would wait for them and then cut them off."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        config = uvicorn.Config(
            app, host, port, log_config=None, access_log=False, timeout_graceful_shutdown=STOPS_WITHIN_S
        )
        super().__init__(config)
        self._app = app

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop: also when the application cannot go on (:class:`status.ending.Ending`)."""
        return await super().on_tick(counter) or self._app.state.ending.why is not None

    async def shutdown(self, *args: Any, **kwargs: Any) -> None:
        """End the streams, then everything else."""
        self._app.state.news.end()
        await super().shutdown(*args, **kwargs)
