"""Where an event counts, and the counts of one cell. Pure."""

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b

from davylamp_sdk._event import Outcome, RequestEvent
from schemas.labels import UNJUDGED, Label, split_assignment
from schemas.outcomes import ERROR_BAD, ERROR_COUNTED, LATENCY_COUNTED, TOOL_BAD, TOOL_COUNTED
from schemas.windows import BUCKETS, Bucket, Cell
from streams.digests import digest_of
from streams.histogram import bin_of

_TOOL_CALL = "tools/call"


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the proxy stamped on a request."""

    version: str | None
    """None: no proxy assigned it."""
    label: str = UNJUDGED
    rollout: int | None = None
    """The rollout of the label; None without one."""


@lru_cache(maxsize=4096)
def read_assignment(header: str | None) -> Assignment:
    """The assignment in an event. Only the one spelling that a proxy writes is a label, all else is ``-``."""
    text, version = split_assignment(header)
    label = Label.parse(text)
    if label is None or str(label) != text:
        return Assignment(version)
    return Assignment(version, text, label.rollout)


def bucket_of(session: str, rollout: int) -> int:
    """The bucket of a session in a rollout: BLAKE2b (RFC 7693) of its hash, salted by the rollout, modulo 64.

    Another rollout puts the same session elsewhere, so two sessions do not share a bucket for ever.
    """
    digest = blake2b(session.encode(), digest_size=8, salt=rollout.to_bytes(blake2b.SALT_SIZE, "big"))
    return int.from_bytes(digest.digest(), "big") % BUCKETS


@dataclass(slots=True)
class _BucketTally:
    n: int = 0
    err: int = 0
    tools: int = 0
    tf: int = 0


@dataclass(slots=True)
class Tally:
    """The running counts of one cell. What each outcome counts as stands in :mod:`schemas.outcomes`."""

    outcomes: dict[Outcome, int] = field(default_factory=dict)
    tool_calls: int = 0
    new_sessions: int = 0
    mismatches: int = 0
    buckets: dict[int, _BucketTally] = field(default_factory=dict)
    histogram: dict[int, int] = field(default_factory=dict)

    def add(self, event: RequestEvent, bucket: int | None, *, mismatch: bool) -> None:
        """Count one event; without a bucket it is in the cell's sums only."""
        outcome = event.outcome
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        self.tool_calls += event.method == _TOOL_CALL and outcome in TOOL_COUNTED
        self.new_sessions += event.first_of_session
        self.mismatches += mismatch
        if outcome in LATENCY_COUNTED:
            index = bin_of(event.duration_ms)
            self.histogram[index] = self.histogram.get(index, 0) + 1
        if bucket is not None and outcome in ERROR_COUNTED:
            self._add_to_bucket(bucket, event)

    def _add_to_bucket(self, bucket: int, event: RequestEvent) -> None:
        tally = self.buckets.setdefault(bucket, _BucketTally())
        tally.n += 1
        tally.err += event.outcome in ERROR_BAD
        if event.method == _TOOL_CALL:
            tally.tools += event.outcome in TOOL_COUNTED
            tally.tf += event.outcome in TOOL_BAD

    def cell(self, version: str, label: str, *, final: bool) -> Cell:
        """The counts so far, as they are published; with a digest when they are final."""
        return Cell(
            version=version,
            label=label,
            outcomes=dict(self.outcomes),
            tool_calls=self.tool_calls,
            new_sessions=self.new_sessions,
            mismatches=self.mismatches,
            buckets={i: Bucket(n=b.n, err=b.err, tools=b.tools, tf=b.tf) for i, b in self.buckets.items()},
            histogram=dict(self.histogram),
            digest=digest_of(self.histogram) if final else None,
        )
