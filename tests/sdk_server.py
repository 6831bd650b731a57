"""An MCP application on a free port of loopback, served by uvicorn."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The URL of `app`'s `/mcp`; ready at once, because the socket listens already. Ends as SIGTERM would end it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # ws: uvicorn would import deprecated modules for websockets that MCP does not use.
        config = uvicorn.Config(app, log_level="error", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        server.should_exit = True
        thread.join()
