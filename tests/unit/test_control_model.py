"""A model of the log with two judges, two routers, people and proxies, any of which may lag, freeze or die at any step.

The default run tries few histories. To look longer: ``CONTROL_EXAMPLES=3000 pytest tests/unit/test_control_model.py``.
"""

import asyncio
import contextlib
import os
from typing import Any, Literal, get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from judge.fold import LEDGER, TOPICS
from judge.verdicts import ByPerson, Same
from judge.verify import verify
from router.fold import Fold
from router.snapshot import is_later
from schemas.control import Command, RouteChange
from schemas.decisions import LedgerEntry
from schemas.fleet import SILENT_MS
from schemas.labels import Label
from schemas.ledger import Accepted, ServiceLedger
from schemas.standing import TRANSITIONS, Phase
from schemas.units import FULL_SHARE
from schemas.windows import Bucket, Cell, CohortWindow
from status.rollback import rollback_entry
from tests.builders import SEED, SERVICE, opening
from tests.unit.control_actors import MACHINE, Fate, JudgeSeat, Proxy, RouterSeat, Tape
from transport.clock import FakeClock
from transport.log import Record

Traffic = Literal["healthy", "bad", "canary_silent", "silent"]

RISES = ("proceed", "complete", "start")
BACK: frozenset[Phase] = frozenset({"pending", "running", "held", "completed"})


_ENDS = {"bake": "8s", "rollback": {"deadline": "8s"}}
PLANS: tuple[dict[str, Any], ...] = (
    _ENDS,
    _ENDS,
    {**_ENDS, "approve": ["start"]},
    {**_ENDS, "approve": ["2", "promote"]},
    {**_ENDS, "observe": True},
)

BACK_BY = st.sampled_from([0, 0, 0, 1])
"""How many entries old a person's picture is."""


class Control(RuleBasedStateMachine):
    """Everything that may happen, in any order."""

    @initialize(second=st.integers(0, 1), plan=st.sampled_from([None, *PLANS]), seconds=st.integers(0, 3))
    def begin(self, second: int, plan: Any, seconds: int) -> None:
        self.clock = FakeClock()
        self.runner = asyncio.Runner()
        self.tape = self.new_tape()
        self.tape.put("services", SERVICE.dump())
        self.judges = [JudgeSeat(self.tape, self.runner), JudgeSeat(self.tape, self.runner)]
        self.routers = [RouterSeat("r0", self.tape), RouterSeat("r1", self.tape)]
        self.proxies = [Proxy("lb0"), Proxy("lb1")]
        self.routers[0].connect(self.proxies[0])
        self.routers[second].connect(self.proxies[1])
        self.chain = ServiceLedger()
        self.valid: list[Record] = []
        self.checked = 0
        self.commands = 0
        if plan is not None:
            self._ask("start", 0, opening=opening(**plan))
            self._all_work()
            self.all_goes_well(seconds)

    def new_tape(self) -> Tape:
        """The log of this history."""
        return Tape(self.clock)

    # People.

    @rule(
        canary=st.sampled_from(["v2", "v3"]),
        plan=st.sampled_from(PLANS),
        flags=st.fixed_dictionaries({"replace": st.booleans(), "again": st.sampled_from([True, True, False])}),
        back=BACK_BY,
    )
    def somebody_starts(self, canary: str, plan: dict[str, Any], flags: dict[str, bool], back: int) -> None:
        self._ask("start", back, opening=opening(canary, **plan), **flags)

    @rule(
        kind=st.sampled_from(["promote", "retry", "hold", "resume"]),
        full=st.booleans(),
        back=BACK_BY,
        heard=st.booleans(),
    )
    def somebody_says(self, kind: str, full: Any, back: int, *, heard: bool) -> None:
        self._ask(kind, back, full=full and kind == "promote")
        for judge in self.judges if heard else ():
            judge.look()
            judge.look()

    @rule(back=BACK_BY)
    def somebody_freezes_or_unfreezes(self, back: int) -> None:
        self._ask("unfreeze" if self.chain.standing.frozen else "freeze", back)

    @rule(what=st.sampled_from(["start", "2", "promote"]), back=BACK_BY)
    def somebody_approves(self, what: str, back: int) -> None:
        self._ask("approve", back, approves=what)

    def _ask(self, kind: Any, back: int, **fields: Any) -> None:
        """With a picture before them that may be `back` entries old."""
        heads = ["", *(e.id for e in self.chain.entries)]
        self.commands += 1
        command = Command(
            id=f"c{self.commands}", service="orders", kind=kind, seen=heads[-1 - back :][0], actor="anna", **fields
        )
        self.tape.put("rollout-commands", command.dump())

    @rule(back=st.sampled_from([0, 0, 1, 2]))
    @precondition(lambda self: self.chain.standing.phase in BACK)
    def somebody_rolls_back(self, back: int) -> None:
        """Without any judge, and perhaps by an old picture of the same rollout."""
        chain = ServiceLedger()
        number, entries = self.chain.standing.rollout, self.chain.entries
        for offset, entry in enumerate(entries):
            if chain.standing.rollout < number or offset < len(entries) - back:
                chain, _ = chain.read(entry, offset)
        word = rollback_entry(
            chain, actor="anna", reason="hm", hold_mode=None, now_ms=self.clock.now_ms(), code_version="0.1"
        )
        self.tape.put(LEDGER, word.dump())
        self._follow()
        assert self.chain.head == word
        self._assert_no_new_session_of_the_canary()

    # Judges.

    @rule(
        which=st.integers(0, 1),
        fate=st.sampled_from(get_args(Fate)),
        most=st.sampled_from([None, 0, 1, 2]),
        topics=st.sampled_from([TOPICS, (LEDGER,), ("cohort-windows",), ("rollout-commands", LEDGER), TOPICS[:-1]]),
    )
    def a_judge_looks(self, which: int, fate: Fate, most: int | None, topics: tuple[str, ...]) -> None:
        self.judges[which].look(fate, most, topics)

    @rule(fates=st.tuples(st.sampled_from(get_args(Fate)), st.sampled_from(get_args(Fate))))
    def both_judges_decide_at_once(self, fates: tuple[Fate, Fate]) -> None:
        """Neither has read what the other is writing."""
        for judge in self.judges:
            judge.look("lost")
        self.clock.advance(5)
        for judge, fate in zip(self.judges, fates, strict=True):
            judge.look(fate, most=0)

    @rule(which=st.integers(0, 1))
    def a_judge_dies(self, which: int) -> None:
        self.judges[which].restart()

    @rule(which=st.sampled_from([0, -1]))
    @precondition(lambda self: self.tape.under_way)
    def an_entry_arrives_late(self, which: int) -> None:
        self.tape.put(LEDGER, self.tape.under_way.pop(which))

    # Routers and proxies.

    @rule(which=st.integers(0, 1), most=st.sampled_from([None, 1]))
    def a_router_reads(self, which: int, most: int | None) -> None:
        self.routers[which].follow(most)

    @rule(which=st.integers(0, 1))
    def a_router_tells(self, which: int) -> None:
        self.routers[which].tell()

    @rule(which=st.integers(0, 1))
    def a_router_dies(self, which: int) -> None:
        self.routers[which].restart()

    @rule(which=st.integers(0, 1))
    def a_proxy_acknowledges(self, which: int) -> None:
        self._acknowledge(self.proxies[which])

    @rule(which=st.integers(0, 1), router=st.sampled_from([None, 0, 1]))
    def a_proxy_moves(self, which: int, router: int | None) -> None:
        self.proxies[which].router = None
        if router is not None:
            self.routers[router].connect(self.proxies[which])

    def _acknowledge(self, proxy: Proxy) -> None:
        if proxy.router is not None:
            newest = proxy.router.fold.snapshot
            assert proxy.runs is None or not is_later(proxy.runs.version, than=newest.version)
            proxy.runs = newest

    # Time.

    @rule(seconds=st.sampled_from([1, 6, 31, 70]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(traffic=st.sampled_from(get_args(Traffic)), final=st.sampled_from([True, True, False]))
    def a_window_closes(self, traffic: Traffic, *, final: bool) -> None:
        self.clock.advance(1)
        self._close_window(traffic, final=final)

    @rule(
        traffic=st.sampled_from(["healthy", "healthy", "healthy", *get_args(Traffic)]),
        routers_sleep=st.sampled_from([False, False, True]),
        too_long=st.sampled_from([False, False, True]),
    )
    def the_judges_sleep_and_wake(self, traffic: Traffic, *, routers_sleep: bool, too_long: bool) -> None:
        """What they meet is ripe for a decision, were it not that proxies or windows may be missing."""
        for _ in range(2):
            self.clock.advance(6)
            self._close_window(traffic, final=True)
            if not routers_sleep:
                self._proxies_follow()
                self._routers_tell()
        if too_long:
            self.clock.advance(70)
        self.both_judges_decide_at_once(("taken", "taken"))

    @rule(seconds=st.integers(1, 4))
    def all_goes_well(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(6)
            self._close_window("healthy", final=True)
            self._all_work()

    @rule()
    def it_becomes_quiet(self) -> None:
        """Whatever was under way arrives, everybody reads everything, every proxy answers: then all is as it should be."""
        while self.tape.under_way:
            self.tape.put(LEDGER, self.tape.under_way.pop())
        for proxy in self.proxies:
            proxy.router = None
            self.routers[0].connect(proxy)
        before = -1
        for _ in range(30):
            news = sum(map(len, self.tape.topics.values())) - sum(router.beats for router in self.routers)
            if before == (before := news):
                break
            self.clock.advance(6)
            self._all_work()
        self._follow()
        self._assert_converged()

    def _all_work(self) -> None:
        self._proxies_follow()
        self._routers_tell()
        for judge in self.judges:
            judge.look()
            self._follow()

    def _proxies_follow(self) -> None:
        for router in self.routers:
            router.follow()
        for proxy in self.proxies:
            self._acknowledge(proxy)

    def _routers_tell(self) -> None:
        for router in self.routers:
            router.tell()

    def _close_window(self, traffic: Traffic, *, final: bool) -> None:
        standing = self.chain.standing
        stage = min(max(standing.stage, 1), 2)
        failing = standing.canary if traffic == "bad" else None
        served = {"silent": (), "canary_silent": ("v1",)}.get(traffic, (standing.baseline, standing.canary))
        window = CohortWindow(
            service="orders",
            source="mcp-requests",
            partition=0,
            partitions=1,
            window_start=self.clock.now_ms() // 1000 * 1000 - 1000,
            window_ms=1000,
            first_offset=0,
            through=1,
            clock_ms=self.clock.now_ms() // 1000 * 1000,
            final=final,
            instance="s",
            cells=tuple(
                Cell(
                    version=version,
                    label=str(Label.make(SEED, standing.rollout, stage, version, "session")),
                    outcomes={"server_error" if version == failing else "ok": 20},
                    buckets={0: Bucket(n=20, err=20 * (version == failing))},
                    new_sessions=12 if stage == 1 and version == standing.baseline else 3,
                )
                for version in served
                if version is not None
            ),
        )
        self.tape.put("cohort-windows", window.dump())

    # What must hold.

    @invariant()
    def all_readers_accept_the_same_entries(self) -> None:
        if not hasattr(self, "tape"):
            return
        self._follow()
        for reader in self.judges:
            self._assert_same(reader.chain, reader.read[LEDGER])
        for router in self.routers:
            self._assert_same(router.fold.ledger.of("orders"), router.read[LEDGER])

    @invariant()
    def a_void_entry_changes_no_route(self) -> None:
        if not hasattr(self, "tape"):
            return
        self._follow()
        every, valid = Fold(), Fold()
        for record in [*self.tape.topics["services"], *self.tape.topics[LEDGER]]:
            every, _ = every.read(record)
        for record in [*self.tape.topics["services"], *self.valid]:
            valid, _ = valid.read(record)
        assert every.snapshot == valid.snapshot

    def teardown(self) -> None:
        """Whatever happened, it ends well, and each entry is recomputed from its cut."""
        if not hasattr(self, "tape"):
            return
        with self.runner, contextlib.closing(self.tape):
            self.it_becomes_quiet()
            verdicts = verify(self.tape.topics, "orders", None, MACHINE)
        assert [v.entry for v in verdicts] == list(self.chain.entries)
        assert all(isinstance(v, Same | ByPerson) for v in verdicts), verdicts

    def _follow(self) -> None:
        """The plain reader takes what is new; each entry that it accepts must be lawful."""
        for record in self.tape.topics[LEDGER][self.checked :]:
            entry, before = LedgerEntry.read(record.value or b""), self.chain
            self.chain, result = self.chain.read(entry, record.offset)
            self.checked += 1
            assert isinstance(result, Accepted) == _holds(before, entry)
            if isinstance(result, Accepted):
                self.valid.append(record)
                self._assert_lawful(before, entry)

    def _assert_lawful(self, before: ServiceLedger, entry: LedgerEntry) -> None:
        if entry.command is not None:
            done = [e.kind for e in before.entries if e.command == entry.command]
            assert done in ([], ["rollback"])
        if entry.kind in RISES:
            assert (entry.rollout, entry.stage) not in {(e.rollout, e.stage) for e in before.entries if e.kind in RISES}
        if entry.share > before.standing.share:
            self._assert_may_rise(before, entry)

    def _assert_may_rise(self, before: ServiceLedger, entry: LedgerEntry) -> None:
        """Every proxy ran the route before it; without a person there was data, and no breach."""
        if before.head is not None:
            for proxy in self.proxies:
                assert proxy.runs is not None
                assert int(proxy.runs.version.split("-")[0]) > before.offset
            assert entry.acknowledged is not None
            assert entry.acknowledged.entry == before.head_id
            self._assert_no_proxy_was_unknown(entry)
        if entry.command is not None or entry.reason.code == "approved":
            return
        assert before.standing.phase == "running"
        assert not before.opening or not before.opening.plan.observe
        assert [check.verdict for check in entry.checks] == ["within"]
        known = self.tape.topics["cohort-windows"][: entry.cut.offsets["cohort-windows-0"]]
        windows = [CohortWindow.read(record.value or b"") for record in known]
        newest = max(w.window_end for w in windows if w.final)
        assert entry.cut.now - newest <= 60_000
        counted = [w for w in windows if w.final or w.window_end > newest]
        cells = [cell for w in counted for cell in w.cells if cell.label.startswith(f"{entry.rollout}.")]
        assert not any("server_error" in cell.outcomes for cell in cells)

    def _assert_no_proxy_was_unknown(self, entry: LedgerEntry) -> None:
        known = self.tape.topics["route-changes"][: entry.cut.offsets["route-changes-0"]]
        told = [(RouteChange.read(record.value or b""), record.timestamp_ms) for record in known]
        newest = {word.router: (word, at) for word, at in told}.values()
        words = [word for word, at in newest if not word.live or entry.cut.now - at <= SILENT_MS]
        for name in {proxy.proxy for word, _ in told for proxy in word.proxies}:
            said = [(proxy, word) for word in words for proxy in word.proxies if proxy.proxy == name]
            assert any(p.state == "acknowledged" and word.entry == entry.after for p, word in said)

    def _assert_same(self, chain: ServiceLedger, read: int) -> None:
        valid = [record for record in self.valid if record.offset < read]
        assert chain.entries == self.chain.entries[: len(valid)]
        assert chain.offset == (valid[-1].offset if valid else -1)

    def _assert_no_new_session_of_the_canary(self) -> None:
        reader = RouterSeat("r", self.tape)
        reader.follow()
        route = reader.fold.snapshot.routes["orders"]
        assert [(w.version, w.weight) for w in route.weights] == [(self.chain.standing.baseline, FULL_SHARE)]
        assert self.chain.standing.baseline != self.chain.standing.canary

    def _assert_converged(self) -> None:
        reader = RouterSeat("r", self.tape)
        reader.follow()
        for proxy in self.proxies:
            assert proxy.runs is not None
            assert proxy.runs == reader.fold.snapshot
        for judge in self.judges:
            assert judge.chain.entries == self.chain.entries
            assert judge.judge._fold.states["orders"].route_acknowledged(self.clock.now_ms())


def _holds(before: ServiceLedger, entry: LedgerEntry) -> bool:
    """The chain rule in other words, for entries that are well formed."""
    standing = before.standing
    if entry.kind in ("freeze", "unfreeze"):
        return entry.after == before.head_id
    legal = entry.kind in TRANSITIONS[standing.phase] and not (entry.kind == "start" and standing.frozen)
    if entry.kind == "rollback":
        return legal and entry.rollout == standing.rollout
    return legal and entry.after == before.head_id


EXAMPLES = int(os.environ.get("CONTROL_EXAMPLES", "50"))

TestControl = pytest.mark.timeout(60 + EXAMPLES)(Control.TestCase)
TestControl.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=40, deadline=None, derandomize=EXAMPLES == 50, print_blob=True
)
