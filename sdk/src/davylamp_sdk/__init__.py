"""Emit one event per MCP request to davylamp, without slowing the request down."""

from typing import TYPE_CHECKING, Any

from davylamp_sdk._emitter import Stats
from davylamp_sdk._event import Outcome, RequestEvent
from davylamp_sdk._recorder import Recorder
from davylamp_sdk._request import Request, metric
from davylamp_sdk._rollout import Rollout
from davylamp_sdk._rollouts import Rollouts
from davylamp_sdk._sink import KafkaSink, Sink
from davylamp_sdk._version import __version__

if TYPE_CHECKING:
    from davylamp_sdk._mcp import Telemetry

__all__ = [
    "KafkaSink",
    "Outcome",
    "Recorder",
    "Request",
    "RequestEvent",
    "Rollout",
    "Rollouts",
    "Sink",
    "Stats",
    "Telemetry",
    "__version__",
    "metric",
]


if not TYPE_CHECKING:  # for a type checker every name would be there

    def __getattr__(name: str) -> Any:
        """Import what needs ``mcp`` when it is first asked for: readers of events and other servers do without."""
        if name != "Telemetry":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            from davylamp_sdk._mcp import Telemetry
        except ModuleNotFoundError as error:
            raise ImportError("Telemetry needs mcp 2.3 or later: install 'davylamp-sdk[mcp]'") from error
        return Telemetry
