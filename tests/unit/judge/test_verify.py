"""Verification: a decision follows from its cut, and whoever recomputes it finds out what does not."""

import contextlib
import random
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judge.fold import LEDGER, TOPICS, Fold
from judge.impossible import ImpossibleReportError
from judge.policies.choice import AsPlanned
from judge.policies.sequential import Sequential
from judge.rollout.machine import Machine
from judge.verdicts import ByPerson, Differs, Expired, OtherVersion, Same, Verdict
from judge.verify import read_partition, verify
from router.latch import Word, rollback
from schemas.control import Command, ProxyReport, VersionTotals
from schemas.decisions import EntryKind, LedgerEntry, Reason
from schemas.labels import Label
from schemas.ledger import ServiceLedger
from schemas.windows import Bucket, Cell, CohortWindow, Metric, MetricBucket, ToolCount
from status.rollback import rollback_entry
from tests.builders import SEED, SERVICE, entry, opening, route
from tests.records import by_topic
from tests.unit.judge.rollouts import CHECKS, MACHINE, T0, Rollout, Tapes, broken, cell, promoted, window
from transport.log import Record


def kinds(verdicts: Iterable[Verdict]) -> list[tuple[str, type]]:
    return [(v.entry.kind, type(v)) for v in verdicts]


def judged(tapes: Tapes, rollout: int | None = None, machine: Machine = MACHINE) -> list[Verdict]:
    return verify(tapes, "orders", rollout, machine)


def without(tapes: Tapes, topic: str, offsets: Iterable[int]) -> Tapes:
    gone = set(offsets)
    return {**tapes, topic: [r for r in tapes[topic] if r.offset not in gone]}


async def test_every_entry_of_a_promotion_is_recomputed_to_the_byte() -> None:
    rollout = await promoted()
    assert kinds(judged(rollout.tapes)) == [
        (kind, Same) for kind in ("start", "approve", "proceed", "hold", "resume", "proceed", "complete", "retire")
    ]


async def test_every_entry_of_a_rollback_is_recomputed_to_the_byte() -> None:
    rollout = await broken()
    assert kinds(judged(rollout.tapes)) == [(kind, Same) for kind in ("start", "hold", "resume", "proceed", "rollback")]


async def test_a_person_s_rollback_has_no_cut_to_recompute() -> None:
    rollout = Rollout()
    await rollout.start()
    word = rollback_entry(
        rollout.chain, actor="anna", reason="hm", hold_mode=None, now_ms=rollout.clock.now_ms(), code_version="0.1"
    )
    await rollout.put(LEDGER, word)
    assert kinds(judged(rollout.tapes)) == [("start", Same), ("rollback", ByPerson)]


@pytest.mark.parametrize("kind", ["hold", "rollback"])
async def test_what_a_router_wrote_because_the_judge_was_blind_counts_as_a_persons(kind: EntryKind) -> None:
    rollout = Rollout()
    await rollout.start()
    blind = Reason(code="blind", sentence="Nobody has looked for 2 min.")
    await rollout.put(LEDGER, entry(kind, rollout.chain.head, now=9, actor="router", reason=blind))
    assert kinds(judged(rollout.tapes)) == [("start", Same), (kind, ByPerson)]


async def test_what_was_said_to_a_router_counts_as_a_persons() -> None:
    rollout = Rollout()
    await rollout.start()
    word = Word(service="orders", rollout=1, reason="Kafka is away", actor="anna")
    await rollout.put(LEDGER, rollback(rollout.chain, word, rollout.clock.now_ms()))
    (_, verdict) = judged(rollout.tapes)
    assert isinstance(verdict, ByPerson)
    assert verdict.entry.actor == "anna"


async def test_an_entry_without_a_cut_that_claims_to_be_the_judge_s_differs() -> None:
    rollout = Rollout()
    await rollout.start()
    forged = entry("proceed", rollout.chain.head, now=rollout.clock.now_ms(), code_version="0.1")
    await rollout.put(LEDGER, forged)
    assert judged(rollout.tapes)[1:] == [Differs(forged, None)]


async def test_an_entry_that_says_something_else_than_its_inputs_differs_and_both_are_shown() -> None:
    rollout = await broken()
    tapes = rollout.tapes
    last = tapes[LEDGER][-1]
    lie = LedgerEntry.read(last.value or b"").model_copy(update={"score": 50.0})
    lie = lie.model_copy(update={"id": lie.derived_id()})
    tapes[LEDGER][-1] = replace(last, value=lie.dump())
    verdict = judged(tapes)[-1]
    assert isinstance(verdict, Differs)
    assert verdict.entry.score == 50.0
    assert verdict.recomputed is not None
    assert verdict.recomputed.dump() == last.value


async def test_an_input_that_was_changed_afterwards_shows() -> None:
    rollout = await broken()
    tapes = rollout.tapes
    tapes["cohort-windows"] = [
        replace(r, value=(r.value or b"").replace(b'"server_error":400', b'"server_error":1'))
        for r in tapes["cohort-windows"]
    ]
    assert [k for k, verdict in kinds(judged(tapes)) if verdict is Differs] == ["rollback"]


class Clumped(Rollout):
    """One client of the baseline fails."""

    async def _count(self, bad: int) -> None:
        clump = cell("v1", self.chain.standing.stage, 0, 0).model_copy(
            update={"outcomes": {"server_error": 90}, "buckets": {0: Bucket(n=90, err=90)}}
        )
        await self.put("cohort-windows", window(self.clock.now_ms(), clump, partition=1))
        await super()._count(bad)


async def clumped(**plan: Any) -> Tapes:
    rollout = Clumped(AS_PLANNED)
    await rollout.start(**plan)
    await rollout.run(20, bad=400)
    return rollout.tapes


AS_PLANNED = Machine(AsPlanned(), "0.1")


async def test_each_revision_of_the_policy_is_recomputed_by_itself() -> None:
    unnamed, first = await clumped(), await clumped(policy={"name": "sequential", "revision": 1})
    second = await clumped(policy={"name": "sequential", "revision": 2})
    for tapes in (unnamed, first, second):
        assert kinds(judged(tapes, machine=AS_PLANNED)) == [("start", Same), ("rollback", Same)]
    backs = [LedgerEntry.read(tapes[LEDGER][-1].value or b"") for tapes in (unnamed, first, second)]
    assert backs[0].checks == backs[1].checks != backs[2].checks
    assert kinds(judged(second)) == [("start", Same), ("rollback", Differs)]  # by the first revision's constants


async def test_other_code_is_not_blamed() -> None:
    rollout = await broken()
    assert {type(v) for v in judged(rollout.tapes, machine=Machine(Sequential(), "0.2"))} == {OtherVersion}


async def test_windows_that_retention_took_are_named() -> None:
    rollout = await broken()
    tapes = without(rollout.tapes, "cohort-windows", range(10))
    assert judged(tapes)[-1] == Expired(judged(rollout.tapes)[-1].entry, ("cohort-windows",))


@pytest.mark.parametrize("topic", ["rollout-commands", "route-changes"])
async def test_control_records_that_retention_took_are_named(topic: str) -> None:
    rollout = await promoted()
    verdicts = judged({**rollout.tapes, topic: []})
    assert {type(v) for v in verdicts} == {Same, Expired}
    assert all(topic in v.inputs for v in verdicts if isinstance(v, Expired))


async def test_what_retention_took_from_before_the_rollout_is_missed_by_nobody() -> None:
    rollout = await broken()
    rollout.clock.advance(40)
    await rollout.ask("start", opening=opening("v3", checks=CHECKS))
    await rollout.run(3)
    tapes = rollout.tapes
    began = next(r.timestamp_ms for r in tapes[LEDGER] if LedgerEntry.read(r.value or b"").rollout == 2)
    for topic in ("cohort-windows", "rollout-commands"):
        tapes = without(tapes, topic, [r.offset for r in tapes[topic] if r.timestamp_ms < began])
    assert {type(v) for v in judged(tapes, 2)} == {Same}


async def test_a_service_file_that_compaction_replaced_is_named_where_it_matters() -> None:
    rollout = await broken()
    await rollout.put("services", SERVICE.model_copy(update={"path": "/other"}))
    verdicts = judged(without(rollout.tapes, "services", [0]))
    assert kinds(verdicts)[0] == ("start", Expired)
    assert {kind for kind, verdict in kinds(verdicts) if verdict is Same} == {"hold", "resume", "proceed", "rollback"}


async def test_a_later_edit_of_the_service_changes_no_verdict() -> None:
    rollout = await broken()
    await rollout.put("services", SERVICE.model_copy(update={"path": "/other"}))
    assert {type(v) for v in judged(rollout.tapes)} == {Same}


async def test_only_the_rollout_that_was_asked_for_is_told() -> None:
    rollout = await broken()
    await rollout.ask("start", opening=opening("v3", checks=CHECKS))
    assert kinds(judged(rollout.tapes, 2)) == [("start", Same)]
    assert judged(rollout.tapes, 3) == []
    assert verify(rollout.tapes, "stock", None, MACHINE) == []


async def test_void_and_unreadable_records_are_passed_over() -> None:
    rollout = Rollout()
    await rollout.log.put(LEDGER, 0, b"{}")
    await rollout.log.put("cohort-windows", 0, b"not json")
    await rollout.start()
    await rollout.put(LEDGER, entry("proceed", None))
    assert kinds(judged(rollout.tapes)) == [("start", Same)]


async def test_the_entry_of_a_judge_that_lagged_behind_the_other_one_is_recomputed() -> None:
    rollout = Rollout()
    await rollout.start()
    await rollout.run(3)
    await rollout.ask("hold")
    lagging, seen = Fold(), {**rollout.tapes, "cohort-windows": rollout.tapes["cohort-windows"][:4]}
    resume = Command(id="late", service="orders", kind="resume", seen=rollout.chain.head_id, actor="ben")
    await rollout.put("rollout-commands", resume)
    seen["rollout-commands"] = rollout.tapes["rollout-commands"]
    for topic in TOPICS:
        for record in seen[topic]:
            lagging.read(record)
    late = MACHINE.decide(lagging.states["orders"], lagging.cut("orders", rollout.clock.now_ms())).entry
    assert late is not None
    await rollout.put(LEDGER, late)
    assert kinds(judged(rollout.tapes)) == [("start", Same), ("hold", Same), ("resume", Same)]


async def test_the_log_itself_is_read_to_its_end_and_no_other_partition_counts() -> None:
    rollout = await broken()
    await rollout.log.put("cohort-windows", 1, window(T0, partition=7, partitions=9).dump())
    reader = rollout.log.reader(*TOPICS)
    read: list[Record] = []
    await read_partition(reader, 0, read.append)
    verdicts = verify(by_topic(read), "orders", 1, MACHINE)
    assert verdicts == judged(rollout.tapes, 1)
    assert {type(v) for v in verdicts} == {Same}


class Held:
    """Counts how many cells of windows there are at once, in place of the windows' model."""

    def __init__(self) -> None:
        self._cells: list[weakref.ref[Cell]] = []
        self.most = 0
        self.read_windows = 0

    def read(self, raw: bytes) -> CohortWindow:
        found = CohortWindow.read(raw)
        self.read_windows += 1
        self._cells = [cell for cell in self._cells if cell() is not None] + [weakref.ref(c) for c in found.cells]
        self.most = max(self.most, len(self._cells))
        return found


async def with_long_ago(seconds: int) -> Tapes:
    """A second rollout, long after the first one, whose sessions were still heard meanwhile, as were another service's."""
    rollout = await broken()
    for _ in range(seconds):
        rollout.clock.advance(1)
        now = rollout.clock.now_ms()
        told = window(now, cell("v1", 2, 80, 0), cell("v2", 2, 80, 0))
        for each in (told, told.model_copy(update={"service": "stock"}), window(now, partition=1)):
            await rollout.put("cohort-windows", each)
    await rollout.ask("start", opening=opening("v3", checks=CHECKS))
    return rollout.tapes


async def test_before_the_first_cut_only_windows_that_somebody_may_ask_for_are_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tapes, held = await with_long_ago(100), Held()
    monkeypatch.setattr("judge.verify._LET_GO_EVERY", 16)
    monkeypatch.setattr("judge.fold.CohortWindow", held)
    assert kinds(judged(tapes, 2)) == [("start", Same)]
    assert held.read_windows > 300
    assert held.most < 50


# A decision is a function of how far each topic was read: the order in which they came leaves no trace.

SECONDS = st.integers(0, 40)
KINDS: st.SearchStrategy[Any] = st.sampled_from(["proceed", "hold", "resume", "retry", "complete", "rollback"])
ROUTERS = st.sampled_from(["r1", "r2"])
COMMANDS: Sequence[Any] = ("promote", "hold", "resume", "retry", "freeze", "unfreeze")


EVERYTHING = {
    "error_rate": {"within": "5pp"},
    "latency_p99": {"min_calls": 20, "refresh": "2s", "over": "10s"},
    "session_loss": {"ages": ["0s", "1s", "2s", "5s"], "idle": "1s"},
    "tokens": {"kind": "mean"},
    "misses": {"kind": "rate", "within": "1pp"},
}


def with_everything(plain: Cell, slow: int) -> Cell:
    """As one that streams publish: latencies, tools, lives and metrics too."""
    n, lat = sum(plain.outcomes.values()), plain.outcomes.get("server_error", 0)
    bins, other = {900 + slow: n - lat, 1000 + slow: lat}, (n - lat) // 2
    buckets = {i: b.model_copy(update={"tools": b.n, "tf": b.err, "lat": b.n}) for i, b in plain.buckets.items()}
    values = Metric(
        n=n,
        micro=n * 10**6,
        histogram={640: n} if n else {},
        buckets={i: MetricBucket(n=b.n, micro=b.n * 10**6) for i, b in buckets.items()},
        bucket_histograms={i: {160: b.n} for i, b in buckets.items()},
    )
    return plain.model_copy(
        update={
            "tool_calls": n,
            "tools": {"a": ToolCount(n=n - other, bad=lat), f"t{slow}": ToolCount(n=other)},
            "buckets": buckets,
            "histogram": {index: count for index, count in bins.items() if count},
            "bucket_histograms": {i: {250 + slow // 4: b.err} for i, b in buckets.items() if b.err},
            "lives": {0: {0: n}, 2: {1: n // 2, 2: n // 3}},
            "metrics": {"tokens": values, "misses": values},
        }
    )


@st.composite
def windows(draw: st.DrawFn) -> CohortWindow:
    """Healthy, broken, foreign or in parts; of a worker or a zombie."""
    stage, n = draw(st.integers(1, 2)), draw(st.sampled_from([0, 80, 800]))
    bad = n // draw(st.sampled_from([2, 100])) if n else 0
    nonce_of = draw(st.sampled_from([None, None, None, "v9"]))
    slow = draw(st.integers(0, 40))
    cells = tuple(
        with_everything(plain, slow)
        for plain in (cell("v1", stage, n, 0), cell("v2", stage, n, bad, nonce_of=nonce_of))
    )
    parts = draw(st.sampled_from([1, 1, 1, 2]))
    return window(
        T0 + 1000 + 1000 * draw(SECONDS),
        *cells,
        partition=draw(st.integers(0, 1)),
        final=draw(st.booleans()),
        instance=draw(st.sampled_from(["s", "zombie"])),
        through=draw(st.integers(1, 5)),
        parts=parts,
        part=draw(st.integers(1, parts)),
    )


@st.composite
def ledgers(draw: st.DrawFn) -> list[LedgerEntry]:
    """A chain that may be anywhere, with entries between that hold for nobody."""
    start = entry("start", now=T0, opening=opening(checks=EVERYTHING), code_version="0.1")
    told, chain = [start], ServiceLedger().read(start, 0)[0]
    for kind in draw(st.lists(KINDS, max_size=4)):
        now = T0 + 1000 * draw(SECONDS)
        last = chain.head if chain.standing.stage < 2 or kind not in {"proceed", "complete"} else start
        said = entry(kind, draw(st.sampled_from([last, last, start])), now=now)
        told.append(said)
        chain, _ = chain.read(said, len(told))
    return told


@st.composite
def reports(draw: st.DrawFn) -> ProxyReport:
    """Of two proxies, by two routers, in any order."""
    versions = {
        version: VersionTotals(sent=1000 * draw(st.integers(0, 9)), failed=draw(st.integers(0, 9)), active=0)
        for version in ("v1", "v2")
    }
    return ProxyReport(
        service="orders",
        router=draw(ROUTERS),
        epoch=1,
        proxy=draw(st.sampled_from(["lb0", "lb1"])),
        started=draw(st.integers(1, 2)),
        at=0,
        versions=versions,
        born={f"v2 {Label.make(SEED, 1, 1, 'v2', 'session')}": draw(st.integers(0, 50))},
    )


@st.composite
def tapes(draw: st.DrawFn) -> Tapes:
    """What every topic holds, in the order of its offsets."""
    told = draw(ledgers())
    ids = st.sampled_from([e.id for e in told] + ["elsewhere"])
    heads = st.builds(route, ids, acknowledged=st.booleans())
    routes = draw(st.lists(st.tuples(heads, ROUTERS), max_size=6))
    routes += [(route(e.id), "r1") for e in told] if draw(st.booleans()) else []
    asked = draw(st.lists(st.tuples(st.sampled_from(COMMANDS), ids), max_size=2))
    commands = [
        Command(id=f"c{i}", service="orders", kind=kind, seen=seen, actor="anna")
        for i, (kind, seen) in enumerate(asked)
    ]
    services = [SERVICE, *draw(st.lists(st.just(SERVICE.model_copy(update={"path": "/other"})), max_size=1))]
    content: dict[str, list[Any]] = {
        "services": services,
        "rollout-commands": commands,
        "route-changes": [change.model_copy(update={"router": router}) for change, router in routes],
        "proxy-reports": draw(st.lists(reports(), max_size=8)),
        "cohort-windows": draw(st.lists(windows(), max_size=30)),
        LEDGER: told,
    }
    return {
        topic: [Record(topic, 0, i, T0 + 1300 * i, b"orders", m.dump()) for i, m in enumerate(messages)]
        for topic, messages in content.items()
    }


def folded(tapes: Tapes, order: Iterable[str], *, look: bool) -> Fold:
    """Everything, in an order that keeps that of each topic; whoever looks between must leave no trace."""
    fold, left = Fold(), {topic: iter(records) for topic, records in tapes.items()}
    for topic in order:
        with contextlib.suppress(ImpossibleReportError):  # as in the judge: it is logged, and the next one is read
            fold.read(next(left[topic]))
        if look:
            for state in fold.states.values():
                MACHINE.decide(state, fold.cut(state.name, T0))
    return fold


@settings(max_examples=80, deadline=None)
@given(tapes(), st.randoms(use_true_random=False), st.integers(0, 45))
def test_in_whatever_order_the_topics_came_one_cut_gives_one_entry(
    tapes: Tapes, chance: random.Random, seconds: int
) -> None:
    in_turn = [topic for topic, records in tapes.items() for _ in records]
    shuffled = chance.sample(in_turn, len(in_turn))
    folds = [
        folded(tapes, in_turn, look=False),
        folded(tapes, reversed(in_turn), look=False),
        folded(tapes, shuffled, look=True),
    ]
    cuts = [fold.cut("orders", T0 + 1000 * seconds) for fold in folds]
    decisions = [MACHINE.decide(fold.states["orders"], cut) for fold, cut in zip(folds, cuts, strict=True)]
    assert len({cut.dump() for cut in cuts}) == 1
    assert len({d.view.dump() for d in decisions}) == 1
    assert len({d.entry.dump() if d.entry else b"" for d in decisions}) == 1
