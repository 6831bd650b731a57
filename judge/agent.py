"""The judge's edge: reads the log, asks the machine, writes entries, and acts on none before it reads it back."""

import logging
from collections.abc import Callable

from pydantic import ValidationError

from judge.rollout.machine import Decision, Machine
from judge.rollout.state import ServiceState
from schemas.control import Command, RolloutView, RouteChange
from schemas.decisions import Cut, LedgerEntry
from schemas.ledger import Void
from schemas.service import Service
from schemas.topics import Topic
from schemas.windows import CohortWindow
from transport.clock import Clock
from transport.log import Batch, LogError, Record, Writer

logger = logging.getLogger(__name__)

INPUTS: tuple[Topic, ...] = ("services", "rollout-commands", "route-changes", "cohort-windows")
"""What a decision depends on beside the ledger: the topics of a cut."""

TOPICS: tuple[Topic, ...] = (*INPUTS, "rollout-decisions")

_REPEAT_AFTER_S = 5.0
"""An entry that has not come back by then is proposed again: the chain rule makes a second copy void."""

_HEARTBEAT_S = 1.0


class Judge:
    """One judge over every service it reads. Not thread-safe: one task feeds it.

    The ledger alone says what was decided: an entry takes effect here as everywhere, by being read. Until the log has
    been read to its end nothing is decided, and while an entry is under way nothing else is proposed for its service.
    """

    def __init__(self, machine: Machine, writer: Writer, clock: Clock) -> None:
        self._machine = machine
        self._writer = writer
        self._clock = clock
        self._states: dict[str, ServiceState] = {}
        self._partition: dict[str, int] = {}
        self._offsets: dict[tuple[str, int], int] = {}
        self._proposed: dict[str, tuple[str, float]] = {}
        self._shown: dict[str, tuple[RolloutView, float]] = {}
        self._caught_up = False

    async def handle(self, batch: Batch) -> None:
        """Fold a batch, then look."""
        for record in batch.records:
            self._read(record)
        self._caught_up = self._caught_up or batch.caught_up
        await self.look()

    async def look(self) -> None:
        """Decide for every service; call it also when nothing came, for the clock moves on."""
        if not self._caught_up:
            return
        for state in self._states.values():
            decision = self._machine.decide(state, self._cut(state.name))
            if decision.entry is not None and self._may_propose(state):
                await self._propose(state, decision.entry)
            await self._show(decision)

    def _cut(self, service: str) -> Cut:
        partition = self._partition[service]
        offsets = {f"{t}-{partition}": self._offsets.get((t, partition), 0) for t in INPUTS}
        return Cut(offsets=offsets, now=self._clock.now_ms())

    def _may_propose(self, state: ServiceState) -> bool:
        after, at = self._proposed.get(state.name, (None, 0.0))
        return after != state.chain.head_id or self._clock.monotonic_s() - at >= _REPEAT_AFTER_S

    async def _propose(self, state: ServiceState, entry: LedgerEntry) -> None:
        self._proposed[state.name] = entry.after, self._clock.monotonic_s()
        try:
            await self._writer.append("rollout-decisions", state.name, entry.dump())
        except LogError:
            logger.exception(
                "entry not acknowledged by the log", extra={"action": "entry_unacknowledged", **_about(entry)}
            )
            return
        logger.info("entry proposed", extra={"action": "entry_proposed", **_about(entry)})

    async def _show(self, decision: Decision) -> None:
        view, now = decision.view, self._clock.monotonic_s()
        shown, at = self._shown.get(view.service, (None, 0.0))
        beat = view.state in ("shifting", "collecting") and now - at >= _HEARTBEAT_S
        if shown is not None and not beat and _gist(shown) == _gist(view):
            return
        self._shown[view.service] = view, now
        try:
            await self._writer.append("rollouts", view.service, view.dump())
        except LogError:
            logger.exception("view not written", extra={"action": "view_unwritten", "service": view.service})

    def _read(self, record: Record) -> None:
        self._offsets[record.topic, record.partition] = record.offset + 1
        reader = self._readers.get(record.topic)
        if record.value is None or reader is None:
            return
        try:
            reader(self, record, record.value)
        except ValidationError as error:
            logger.error(  # noqa: TRY400 - the record's words, not a traceback
                "record not understood, skipped",
                extra={"action": "record_skipped", "at": _place(record), "why": str(error)},
            )

    def _state(self, service: str, partition: int) -> ServiceState:
        self._partition[service] = partition
        return self._states.setdefault(service, ServiceState(service))

    def _read_service(self, record: Record, value: bytes) -> None:
        service = Service.read(value)
        self._state(service.service, record.partition).read_service(service)

    def _read_command(self, record: Record, value: bytes) -> None:
        command = Command.read(value)
        self._state(command.service, record.partition).read_command(command, record.timestamp_ms)

    def _read_route(self, record: Record, value: bytes) -> None:
        change = RouteChange.read(value)
        state = self._state(change.service, record.partition)
        state.read_route(change, record.partition, record.offset, record.timestamp_ms)

    def _read_window(self, record: Record, value: bytes) -> None:
        window = CohortWindow.read(value)
        self._state(window.service, record.partition).read_window(window)

    def _read_entry(self, record: Record, value: bytes) -> None:
        entry = LedgerEntry.read(value)
        result = self._state(entry.service, record.partition).read_entry(entry, record.offset)
        if isinstance(result, Void):
            logger.warning("void entry", extra={"action": "entry_void", "why": result.reason, **_about(entry)})

    _readers: dict[str, "Callable[[Judge, Record, bytes], None]"] = {  # noqa: RUF012 - a constant table
        "services": _read_service,
        "rollout-commands": _read_command,
        "route-changes": _read_route,
        "cohort-windows": _read_window,
        "rollout-decisions": _read_entry,
    }


def _gist(view: RolloutView) -> RolloutView:
    """What makes a view worth saying at once: not the clock, nor the numbers, which the heartbeat carries."""
    return view.model_copy(
        update={
            "looked_at": 0,
            "judged": {},
            "waiting_for": None,
            "stage_elapsed_s": None,
            "checks": (),
            "score": None,
            "baseline_sessions": 0,
            "canary_sessions": 0,
        }
    )


def _place(record: Record) -> str:
    return f"{record.topic}-{record.partition}@{record.offset}"


def _about(entry: LedgerEntry) -> dict[str, object]:
    return {"service": entry.service, "rollout": entry.rollout, "entry": entry.id, "kind": entry.kind}
