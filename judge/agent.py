"""The judge's edge: reads the log, asks the machine, writes entries, and acts on none before it reads it back."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

from judge.fold import LEDGER, Fold
from judge.rollout.machine import Decision, Machine
from judge.rollout.state import ServiceState
from schemas.control import RolloutView
from schemas.decisions import EntryKind, LedgerEntry
from transport.clock import Clock
from transport.log import Batch, LogError, Record, Writer
from transport.skipping import skipping

logger = logging.getLogger(__name__)

_REPEAT_AFTER_S = 5.0
"""An entry that has not come back by then is proposed again: the chain rule makes a second copy void."""

_TURN_S = 0.02
"""So long a look waits for what it has written; the log takes a few milliseconds."""

_HEARTBEAT_S = 1.0
_BEATING = frozenset({"pending", "shifting", "collecting", "held"})


class Judge:
    """One judge over every service it reads. Not thread-safe: one task feeds it.

    The ledger alone says what was decided: an entry takes effect here as everywhere, by being read. Until the log has
    been read to its end nothing is decided, and while an entry is under way nothing else is proposed for its service,
    except a rollback. Writing runs beside: a slow log holds up neither another service nor the next look.

    Whoever feeds it gives it no window before the ledger has been read to its end: which telemetry topic counts must be
    known when windows come, for of others only the newest are kept.
    """

    def __init__(self, machine: Machine, writer: Writer, clock: Clock) -> None:
        self._machine = machine
        self._writer = writer
        self._clock = clock
        self._fold = Fold()
        self._proposed: dict[str, tuple[str, EntryKind, float]] = {}
        self._shown: dict[str, tuple[RolloutView, float]] = {}
        self._writing: dict[str, asyncio.Task[None]] = {}
        self._caught_up = False
        self.looked_s: float | None = None
        """When every service was last looked at, on the clock's monotonic axis."""
        self.not_judged: dict[str, int] = {}
        """By service: looks that ended in an error."""
        self.unacknowledged = 0
        """Entries of which the log has not said that it has them."""

    @property
    def caught_up(self) -> bool:
        """Whether the log has been read to its end: nothing is decided before."""
        return self._caught_up

    def heads(self) -> dict[str, LedgerEntry]:
        """By service: the newest accepted entry. From any thread."""
        heads = {state.name: state.chain.head for state in list(self._fold.states.values())}
        return {name: head for name, head in heads.items() if head is not None}

    async def handle(self, batch: Batch) -> None:
        """Fold a batch, then look. Raises what a task of writing could not survive."""
        for record in batch.records:
            self._read(record)
        self._caught_up = self._caught_up or batch.caught_up
        if not self._caught_up:
            self._follow()
        await self.look()

    async def look(self) -> None:
        """Decide for every service; call it also when nothing came, for the clock moves on."""
        if not self._caught_up:
            return
        for state in self._fold.states.values():
            decision = self._decide(state)
            if decision is not None:
                self._propose(state, decision.entry)
                self._show(decision)
        self.looked_s = self._clock.monotonic_s()
        await self._give_writers_a_turn()

    def _follow(self) -> None:
        """Of all windows of a month only what counts may wait in memory for the first look."""
        for state in self._fold.states.values():
            if state.sources:
                with contextlib.suppress(Exception):  # what cannot be judged is told by every look
                    self._machine.follow(state)

    def _decide(self, state: ServiceState) -> Decision | None:
        """What the machine says; a service that it cannot judge stands in nobody else's way."""
        try:
            return self._machine.decide(state, self._fold.cut(state.name, self._clock.now_ms()))
        except Exception:
            self.not_judged[state.name] = self.not_judged.get(state.name, 0) + 1
            logger.exception("service not judged", extra={"action": "service_not_judged", "service": state.name})
            return None

    def _propose(self, state: ServiceState, entry: LedgerEntry | None) -> None:
        if entry is None or not self._may_propose(state, entry):
            return
        if self._write(f"{state.name} {entry.kind}", self._append(entry)):
            self._proposed[state.name] = entry.after, entry.kind, self._clock.monotonic_s()

    def _may_propose(self, state: ServiceState, entry: LedgerEntry) -> bool:
        after, kind, at = self._proposed.get(state.name, ("none yet", "start", 0.0))
        overtakes = entry.kind == "rollback" != kind
        return after != state.chain.head_id or overtakes or self._clock.monotonic_s() - at >= _REPEAT_AFTER_S

    async def _append(self, entry: LedgerEntry) -> None:
        try:
            await self._writer.append(LEDGER, entry.service, entry.dump())
        except LogError:
            self.unacknowledged += 1
            logger.exception(
                "entry not acknowledged by the log", extra={"action": "entry_unacknowledged", **_about(entry)}
            )
            return
        logger.info("entry proposed", extra={"action": "entry_proposed", **_about(entry)})

    def _show(self, decision: Decision) -> None:
        now, outline = self._clock.monotonic_s(), decision.outline
        shown, at = self._shown.get(outline.service, (None, 0.0))
        beat = outline.state in _BEATING and now - at >= _HEARTBEAT_S
        if shown is None or beat or _gist(shown) != _gist(outline):
            self._write(f"{outline.service} view", self._publish(decision.view, now))

    async def _publish(self, view: RolloutView, now: float) -> None:
        try:
            await self._writer.append("rollouts", view.service, view.dump())
        except LogError:
            logger.exception("view not written", extra={"action": "view_unwritten", "service": view.service})
            return
        self._shown[view.service] = view, now

    def _write(self, what: str, work: Coroutine[Any, Any, None]) -> bool:
        """Beside the looking; one of a kind at a time, for the next look says it again if it is still true. Whether it began."""
        if what in self._writing:
            work.close()
            return False
        self._writing[what] = asyncio.create_task(work, name=what)
        return True

    async def _give_writers_a_turn(self) -> None:
        """Let quick writes end before the next look. What broke one that logs nothing itself is raised here."""
        if self._writing:
            await asyncio.wait(self._writing.values(), timeout=_TURN_S)
        for what in [what for what, task in self._writing.items() if task.done()]:
            self._writing.pop(what).result()

    def _read(self, record: Record) -> None:
        void = None
        with skipping(record):
            void = self._fold.read(record)
        if void is not None:
            logger.warning("void entry", extra={"action": "entry_void", "why": void.reason, **_about(void.entry)})


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


def _about(entry: LedgerEntry) -> dict[str, object]:
    return {"service": entry.service, "rollout": entry.rollout, "entry": entry.id, "kind": entry.kind}
