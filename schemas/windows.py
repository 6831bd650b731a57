"""CohortWindow v1: what one partition of the telemetry says about one service in one window."""

from typing import Annotated, Literal

from pydantic import Field

from davylamp_sdk._event import Outcome
from davylamp_sdk._message import Message
from schemas.names import ServiceName

MAX_TALLY = 2**53 - 1
Tally = Annotated[int, Field(ge=0, le=MAX_TALLY)]
"""A count that every language's numbers hold."""

BUCKETS = 64
"""Sessions are hashed into this many buckets, salted by the rollout: the clusters of the dispersion."""


class Bucket(Message):
    """One session bucket of a cell: requests, those counted as errors, tool calls, failed tool calls, latencies.

    ``lat`` counts the requests whose latency is counted: with the bucket's histogram, which begins at a floor, it says
    how many lie below.
    """

    n: Tally = 0
    err: Tally = 0
    tools: Tally = 0
    tf: Tally = 0
    lat: Tally = 0


BINS = 2_048
"""Of a histogram: 64 in each of 32 octaves (`streams.histogram`)."""
Bin = Annotated[int, Field(ge=0, lt=BINS)]

COARSE_PER_FINE = 4
"""The bucket histograms have 16 bins an octave, the cells' own 64: coarse bin = fine bin // 4."""
CoarseBin = Annotated[int, Field(ge=0, lt=BINS // COARSE_PER_FINE)]

SESSION_AGES_S = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1800.0)
"""Ages whose reaching is counted, ascending; a plan's session loss looks at some of them."""

OLDEST_BIRTH_S = 3600
"""What sessions reached that were born longer ago is booked under this many seconds of windows since birth."""
Age = Annotated[int, Field(ge=0, lt=len(SESSION_AGES_S))]
Birth = Annotated[int, Field(ge=0, le=1000 * OLDEST_BIRTH_S)]
"""In windows, of a millisecond at least."""

LONGEST_WINDOW_MS = 86_400_000

MICRO = 1_000_000
"""Sums of custom metrics are whole millionths, so that they merge by addition in any order."""

MAX_MICRO = 2**63 - 1
Micro = Annotated[int, Field(ge=0, le=MAX_MICRO)]
"""A sum in millionths: ten thousand values of a million pass 2^53, so read it as a 64-bit integer. Values after a sum of
nine million millions in a window are left out and counted in `folded`."""

MAX_DEAD_LETTERS = 200
"""Malformed messages of a partition that are kept at once: those of which there is no dead letter are said to be `unkept`."""

OTHER = "_other"
"""Where tools, instances and unjudged versions beyond their cap are counted."""


class ToolCount(Message):
    """Calls of one tool that count for tool success, and those of them that failed."""

    n: Tally = 0
    bad: Tally = 0


class MetricBucket(Message):
    """One session bucket of a custom metric: values and their sum in millionths."""

    n: Tally = 0
    micro: Micro = 0


class Metric(Message):
    """A custom metric of a cell: how many requests brought a value, and what these add up to.

    Histograms count values in the latency's bins, as if they were milliseconds: what a mean is winsorised by.
    """

    n: Tally = 0
    micro: Annotated[Micro, Field(description="Sum of the values, in millionths.")] = 0
    buckets: dict[Annotated[int, Field(ge=0, lt=BUCKETS)], MetricBucket] = Field(default_factory=dict)
    histogram: dict[Bin, Tally] = Field(default_factory=dict, description="Sparse, 64 bins an octave.")
    bucket_histograms: dict[Annotated[int, Field(ge=0, lt=BUCKETS)], dict[CoarseBin, Tally]] = Field(
        default_factory=dict, description="In final windows: session bucket → coarse bin → count."
    )


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
    histogram: dict[Bin, Tally] = Field(
        default_factory=dict, description="Latency, sparse: bin → count; bin i spans see `streams.histogram`."
    )
    digest: Digest | None = Field(default=None, description="In final windows only.")
    bucket_histograms: dict[Annotated[int, Field(ge=0, lt=BUCKETS)], dict[CoarseBin, Tally]] = Field(
        default_factory=dict,
        description="Latency in final windows: session bucket → coarse bin (16 an octave) → count, from `bucket_floor` up.",
    )
    bucket_floor: CoarseBin | None = Field(
        default=None, description="The lowest coarse bin that the bucket histograms hold; None: there are none."
    )
    tools: dict[str, ToolCount] = Field(
        default_factory=dict,
        description="Calls that count for tool success by tool: `_unknown` without a name, `_other` beyond 200 a service "
        "and window. They add up to `tool_calls`.",
    )
    lives: dict[Birth, dict[Age, Tally]] = Field(
        default_factory=dict,
        description="Windows since the session's birth → index into SESSION_AGES_S → sessions that reached this age "
        "in this window. The birth is the append time less the age; one more than an hour ago counts as an hour ago. "
        "A first request reaches age 0. Labelled cells only.",
    )
    told_sessions: Tally = Field(default=0, description="Of the new sessions those whose server tells when they end.")
    ends: dict[Birth, dict[Age, Tally]] = Field(
        default_factory=dict,
        description="Sessions that their clients ended in this window: as `lives`, by the last age that they reached. "
        "Labelled cells only.",
    )
    metrics: dict[str, Metric] = Field(
        default_factory=dict,
        description="Custom metrics by name, 8 a service and window; values are 0 to 1e9. Others are left out.",
    )
    stale: Tally = Field(
        default=0, description="Requests whose `started_at` lies an hour or more from the append time."
    )


class CohortWindow(Message):
    """All cells of a service in one tumbling window of one source partition.

    A window is a contiguous range of offsets: the events whose running maximum of broker append times lies in
    [window_start, window_start + window_ms). A final one is a function of the log alone; of partials
    (``final=False``) the one with the largest ``through`` wins, and any final wins over them.

    Of a window in parts, the first holds what is said of the window itself, and a cell too large for one part stands in
    several: :class:`schemas.window_book.WindowBook` puts them together.
    """

    v: Literal[1] = 1
    service: ServiceName
    source: Annotated[str, Field(description="The telemetry topic.")]
    partition: Annotated[int, Field(ge=0)]
    partitions: Annotated[int, Field(ge=1, description="Of the telemetry topic: the reader waits for all of them.")]
    window_start: Annotated[int, Field(ge=0, le=MAX_TALLY, description="Unix milliseconds, a multiple of `window_ms`.")]
    window_ms: Annotated[int, Field(gt=0, le=LONGEST_WINDOW_MS)]
    first_offset: int
    through: Annotated[int, Field(description="First offset not yet read.")]
    clock_ms: Annotated[
        int,
        Field(description="Broker append time up to which messages were read; a final one's end. Unix milliseconds."),
    ]
    final: bool
    instance: str
    part: Annotated[int, Field(ge=1)] = 1
    parts: Annotated[int, Field(ge=1)] = 1
    cells: tuple[Cell, ...] = ()
    malformed: Tally = Field(
        default=0,
        description="Messages of the partition that nobody could read or count, whatever their service. The finals of "
        "all services say the same number: to sum, take one service's.",
    )
    unkept: Tally = Field(
        default=0,
        description="Of the malformed those that are not in the dead-letter topic either, for they came in a flood: nobody "
        "will ever know what they said.",
    )
    holes: Tally = Field(
        default=0,
        description="Messages of the partition that retention removed unread just before this window, or in it: the "
        "windows before may be missing and this one incomplete. As with `malformed`, all services are told.",
    )
    duplicates: Tally = Field(
        default=0, description="Events of this service that this window or the one before it had already been sent."
    )
    dropped: dict[str, Tally] = Field(
        default_factory=dict,
        description="Instance → events that its SDK says it dropped; `_other` beyond 64.",
    )
    folded: Tally = Field(
        default=0,
        description="How often a cap put something under `-` or `_other`, or left a metric's value out.",
    )

    @property
    def window_end(self) -> int:
        """Unix milliseconds, exclusive."""
        return self.window_start + self.window_ms

    @property
    def incomplete(self) -> bool:
        """Whether telemetry is lost: retention took it unread, or nobody could read it and it was not kept.

        Streams that did not say yet what they kept never kept more than so many of a window.
        """
        return self.holes > 0 or self.unkept > 0 or self.malformed > MAX_DEAD_LETTERS
