"""What the telemetry said lately, in bounded memory: a fold of `cohort-windows`, for charts and tools. Pure.

Nothing here decides anything: decisions rest on the judge's own fold, and their numbers are in the ledger. Of each
service only the newest rollout is kept, summed over kinds of sessions and over stages, in at most :data:`SPANS` spans:
when there are more, two become one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.labels import Label
from schemas.outcomes import ERROR_BAD, ERROR_COUNTED, total
from schemas.windows import COARSE_PER_FINE, OTHER, Cell, CohortWindow, ToolCount
from status.page.tail import Distribution

SPANS = 240
"""Of one service, at most."""

COVERED_MS = 60_000
"""How far back requests are looked at for whose they are."""

TOOLS = 200
"""Of one version, at most; further ones are counted together."""


@dataclass(slots=True)
class Tally:
    """What sessions of one version did. Latency bins are the contract's, four to one in spans."""

    sessions: int = 0
    ended: int = 0
    """Of the sessions those whose clients said so, as far as servers tell it."""
    told: int = 0
    """Of the sessions those whose servers tell when they end."""
    requests: int = 0
    errors: int = 0
    tool_calls: int = 0
    tool_failures: int = 0
    latency: dict[int, int] = field(default_factory=dict)

    @property
    def at_most(self) -> int | None:
        """How many of the sessions may still be there; None where nobody tells that one ended."""
        return max(0, self.sessions - self.ended) if self.told else None

    def take(self, cell: Cell, per_bin: int = 1) -> None:
        """Count a cell; `per_bin` bins of its histogram become one."""
        self.sessions += cell.new_sessions
        self.ended += sum(sum(ages.values()) for ages in cell.ends.values())
        self.told += cell.told_sessions
        self.requests += total(cell.outcomes, ERROR_COUNTED)
        self.errors += total(cell.outcomes, ERROR_BAD)
        self.tool_calls += cell.tool_calls
        self.tool_failures += sum(bucket.tf for bucket in cell.buckets.values())
        _merge(self.latency, ((index // per_bin, n) for index, n in cell.histogram.items()))

    def add(self, other: "Tally") -> None:
        """Two become one."""
        self.sessions += other.sessions
        self.ended += other.ended
        self.told += other.told
        self.requests += other.requests
        self.errors += other.errors
        self.tool_calls += other.tool_calls
        self.tool_failures += other.tool_failures
        _merge(self.latency, other.latency.items())


@dataclass(frozen=True, slots=True)
class Reached:
    """How far one partition of the telemetry has been counted. Unix milliseconds, append times."""

    final_ms: int = 0
    """End of its newest final window."""
    clock_ms: int = 0
    """Up to where messages were read, open windows included."""


@dataclass(slots=True)
class Losses:
    """Events that no window counts, or that are odd though counted, since this process reads."""

    malformed: int = 0
    duplicates: int = 0
    holes: int = 0
    dropped: int = 0
    folded: int = 0
    stale: int = 0
    """Counted all the same, but by a clock that was an hour off."""

    def take(self, window: CohortWindow) -> None:
        self.malformed += window.malformed
        self.duplicates += window.duplicates
        self.holes += window.holes
        self.dropped += sum(window.dropped.values())
        self.folded += window.folded
        self.stale += sum(cell.stale for cell in window.cells)


@dataclass(slots=True)
class Recent:
    """One service."""

    rollout: int = 0
    step_ms: int = 0
    spans: dict[int, dict[str, Tally]] = field(default_factory=dict)
    """Start of the span → version → tally."""
    totals: dict[str, Tally] = field(default_factory=dict)
    """Version → everything kept of it."""
    born: dict[tuple[int, str], int] = field(default_factory=dict)
    """(stage, version) → sessions."""
    tools: dict[str, dict[str, ToolCount]] = field(default_factory=dict)
    """Version → tool → calls."""
    window_ms: int = 0
    source: str | None = None
    """The telemetry topic; None before the first window."""
    partitions: int = 0
    reached: dict[int, Reached] = field(default_factory=dict)
    """By partition of the topic."""
    elsewhere: dict[str, int] = field(default_factory=dict)
    """Other telemetry topic → end of the newest window in which requests of the service were heard there."""
    losses: Losses = field(default_factory=Losses)
    _taken: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Partition → (start, part) of the newest final message that was counted."""
    _covered: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Start of a window → its requests of this rollout's sessions, and all. Of :data:`COVERED_MS`."""
    _latencies: dict[str, Distribution] = field(default_factory=dict)
    """Version → what was worked out since its newest cell."""

    def read(self, window: CohortWindow, rollout: int) -> bool:
        """Take a message of the service's telemetry topic. Whether a chart has grown.

        Cells of other rollouts than the newest (`rollout`) are left out.
        """
        if rollout != self.rollout:
            self._begin(rollout)
        if window.source != self.source:
            self._move(window.source)
        place = window.partition
        known = self.reached.get(place, Reached())
        self.window_ms = window.window_ms
        self.partitions = max(self.partitions, window.partitions)
        self.reached[place] = Reached(
            max(known.final_ms, window.window_end if window.final else 0), max(known.clock_ms, window.clock_ms)
        )
        if not window.final or (window.window_start, window.part) <= self._taken.get(place, (-1, 0)):
            return False
        self._taken[place] = window.window_start, window.part
        self.losses.take(window)
        self._count(window)
        return True

    def pass_over(self, window: CohortWindow) -> None:
        """Take a message of another topic: nobody counts what it says."""
        if window.final and window.cells:
            self.elsewhere[window.source] = max(self.elsewhere.get(window.source, 0), window.window_end)

    @property
    def complete_until_ms(self) -> int | None:
        """Up to where every partition is final; None before each has said so."""
        ends: list[int] = [reached.final_ms for reached in self.reached.values()]
        return (min(ends) or None) if ends and len(ends) >= self.partitions else None

    @property
    def read_until_ms(self) -> int | None:
        """Up to where every partition was read, open windows included."""
        clocks = [reached.clock_ms for reached in self.reached.values()]
        return min(clocks) if clocks and len(clocks) >= self.partitions else None

    @property
    def coverage(self) -> float | None:
        """Which part of the newest requests is of this rollout's sessions; None without any.

        The others are of sessions that began before it, or were sent past the proxies: nobody judges them.
        """
        ours = requests = 0
        for of_ours, of_all in self._covered.values():
            ours, requests = ours + of_ours, requests + of_all
        return ours / requests if requests else None

    def latencies(self, version: str) -> Distribution:
        """How the latencies of all that is kept of a version lie."""
        if version not in self._latencies:
            total = self.totals.get(version)
            self._latencies[version] = Distribution.of(total.latency if total else {})
        return self._latencies[version]

    def _begin(self, rollout: int) -> None:
        """A new rollout: the old one's numbers go."""
        self.rollout, self.step_ms = rollout, 0
        for kept in (self.spans, self.totals, self.born, self.tools, self._covered, self._latencies):
            kept.clear()

    def _move(self, source: str) -> None:
        """The service's telemetry goes to another topic: what partitions have said means nothing there."""
        self.source, self.partitions = source, 0
        self.elsewhere.pop(source, None)
        self.reached.clear()
        self._taken.clear()

    def _count(self, window: CohortWindow) -> None:
        ours = 0
        for cell in window.cells:
            label = Label.parse(cell.label)
            if label is None or label.rollout != self.rollout:
                continue
            ours += sum(cell.outcomes.values())
            self.step_ms = self.step_ms or window.window_ms
            span = self.spans.setdefault(window.window_start // self.step_ms * self.step_ms, {})
            span.setdefault(cell.version, Tally()).take(cell, COARSE_PER_FINE)
            self.totals.setdefault(cell.version, Tally()).take(cell)
            self._latencies.pop(cell.version, None)
            at = label.stage, cell.version
            self.born[at] = self.born.get(at, 0) + cell.new_sessions
            self._count_tools(cell)
        while len(self.spans) > SPANS:
            self._coarsen()
        self._cover(window, ours)

    def _cover(self, window: CohortWindow, ours: int) -> None:
        before = self._covered.get(window.window_start, (0, 0))
        requests = sum(sum(cell.outcomes.values()) for cell in window.cells)
        self._covered[window.window_start] = before[0] + ours, before[1] + requests
        oldest = max(self._covered) - COVERED_MS
        self._covered = {start: counts for start, counts in self._covered.items() if start > oldest}

    def _count_tools(self, cell: Cell) -> None:
        counts = self.tools.setdefault(cell.version, {})
        for tool, count in cell.tools.items():
            name = tool if tool in counts or len(counts) < TOOLS else OTHER
            known = counts.get(name, ToolCount())
            counts[name] = ToolCount(n=known.n + count.n, bad=known.bad + count.bad)

    def _coarsen(self) -> None:
        """Spans of twice the length."""
        self.step_ms *= 2
        finer, self.spans = self.spans, {}
        for start, versions in finer.items():
            span = self.spans.setdefault(start // self.step_ms * self.step_ms, {})
            for version, tally in versions.items():
                span.setdefault(version, Tally()).add(tally)


def _merge(into: dict[int, int], counts: Iterable[tuple[int, int]]) -> None:
    for index, n in counts:
        into[index] = into.get(index, 0) + n
