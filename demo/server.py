"""A small MCP server to release: `python -m demo.server --version v2 --port 8003 --failing 0.3 --bootstrap …`."""

import argparse
import logging
import random

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError

from davylamp_sdk import Telemetry

INTERNAL_ERROR = -32603
TOOLS = frozenset({"quote", "stock"})


def make_server(version: str, failing: float, telemetry: Telemetry) -> MCPServer:
    """Two tools; each call fails with probability `failing` by a JSON-RPC error. Every answer names the version."""
    server = MCPServer("orders", middleware=[telemetry])
    chance = random.Random()

    @server.tool()
    def quote(item: str, quantity: int) -> str:
        """What `quantity` of `item` costs."""
        if chance.random() < failing:
            raise MCPError(code=INTERNAL_ERROR, message=f"price list not available in {version}")
        return f"{version}: {quantity} {item} for {quantity * len(item)}"

    @server.tool()
    def stock(item: str) -> str:
        """How many of `item` there are."""
        if chance.random() < failing:
            raise MCPError(code=INTERNAL_ERROR, message=f"warehouse not reachable in {version}")
        return f"{version}: {len(item)} of {item}"

    return server


class Server(uvicorn.Server):
    """Ends the telemetry with the last request: a process that SIGTERM ends runs no `atexit`."""

    def __init__(self, config: uvicorn.Config, telemetry: Telemetry) -> None:
        super().__init__(config)
        self._telemetry = telemetry

    async def shutdown(self, *args: object, **kwargs: object) -> None:
        await super().shutdown(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they came
        self._telemetry.close()


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--service", default="orders")
    parser.add_argument("--version", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--failing", type=float, default=0.01)
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    telemetry = Telemetry(
        service=args.service,
        version=args.version,
        instance=f"{args.version}-{args.port}",
        bootstrap=args.bootstrap,
        tools=TOOLS,
    )
    app = make_server(args.version, args.failing, telemetry).streamable_http_app()
    config = uvicorn.Config(app, "127.0.0.1", args.port, log_level="error", timeout_graceful_shutdown=1)
    Server(config, telemetry).run()


if __name__ == "__main__":
    main()
