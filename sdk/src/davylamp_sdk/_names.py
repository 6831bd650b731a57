"""What may stand in an event as a name."""

from typing import Final

MAX_NAME: Final = 120
"""Characters; the limit of ``RequestEvent``'s names."""

UNKNOWN: Final = "_unknown"
"""Stands for any name that a client made up, so that clients cannot invent names of metrics."""
