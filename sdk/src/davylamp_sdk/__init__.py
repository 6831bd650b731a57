"""Emit one event per MCP request to davylamp, without slowing the request down."""

from davylamp_sdk._event import Outcome, RequestEvent
from davylamp_sdk._version import __version__

__all__ = ["Outcome", "RequestEvent", "__version__"]
