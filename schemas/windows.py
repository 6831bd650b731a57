"""CohortWindow v1: what one partition of the telemetry says about one service in one window."""

from typing import Annotated, Literal

from pydantic import Field

from davylamp_sdk._event import Outcome
from davylamp_sdk._message import Message
from schemas.names import ServiceName

Tally = Annotated[int, Field(ge=0, lt=2**53)]
"""A count that every language's numbers hold."""

BUCKETS = 64
"""Sessions are hashed into this many buckets, salted by the rollout: the clusters of the dispersion."""


class Bucket(Message):
    """One session bucket of a cell: requests, those counted as errors, tool calls, failed tool calls."""

    n: Tally = 0
    err: Tally = 0
    tools: Tally = 0
    tf: Tally = 0


class Digest(Message):
    """A t-digest built from the cell's histogram: what people are shown, never what decides."""

    n: int
    delta: float
    centroids: tuple[tuple[float, float], ...] = Field(description="(mean in ms, weight), ascending")


class Cell(Message):
    """One (assigned version, label): integers that merge by addition, in any order."""

    version: str = Field(description="The version that the proxy assigned: the cohort (intention to treat).")
    label: str = Field(description="The label, or `-` for sessions that are never judged.")
    outcomes: dict[Outcome, Tally] = Field(default_factory=dict)
    tool_calls: Tally = Field(default=0, description="Calls of tools that count for tool success.")
    new_sessions: Tally = 0
    mismatches: Tally = Field(
        default=0, description="Events whose server said another version than the proxy assigned."
    )
    buckets: dict[Annotated[int, Field(ge=0, lt=BUCKETS)], Bucket] = Field(default_factory=dict)
    histogram: dict[int, Tally] = Field(
        default_factory=dict, description="Latency, sparse: bin → count; bin i spans see `streams.histogram`."
    )
    digest: Digest | None = Field(default=None, description="In final windows only.")


class CohortWindow(Message):
    """All cells of a service in one tumbling window of one source partition.

    A window is a contiguous range of offsets: the events whose running maximum of broker append times lies in
    [window_start, window_start + window_ms). A final one is a function of the log alone; of partials
    (``final=False``) the one with the largest ``through`` wins, and any final wins over them.
    """

    v: Literal[1] = 1
    service: ServiceName
    source: Annotated[str, Field(description="The telemetry topic.")]
    partition: Annotated[int, Field(ge=0)]
    partitions: Annotated[int, Field(ge=1, description="Of the telemetry topic: the reader waits for all of them.")]
    window_start: Annotated[int, Field(ge=0, description="Unix milliseconds, a multiple of `window_ms`.")]
    window_ms: Annotated[int, Field(gt=0)]
    first_offset: int
    through: Annotated[int, Field(description="First offset not yet read.")]
    clock_ms: Annotated[
        int,
        Field(description="Broker append time up to which messages were read; a final one's end. Unix milliseconds."),
    ]
    final: bool
    instance: str
    part: int = 1
    parts: int = 1
    cells: tuple[Cell, ...] = ()

    @property
    def window_end(self) -> int:
        """Unix milliseconds, exclusive."""
        return self.window_start + self.window_ms
