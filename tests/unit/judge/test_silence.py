"""Routers that fall silent while a rollout runs: nothing rises, and everything can still be taken back."""

from dataclasses import replace
from typing import Any

import pytest

from judge.policies.port import Assessment
from judge.rollout.machine import Decision, Machine
from judge.rollout.state import ServiceState
from schemas.control import Command, ProxyRoute
from schemas.decisions import Cut, LedgerEntry, Reason
from schemas.fleet import SILENT_MS
from schemas.labels import Label
from schemas.windows import Bucket, Cell, CohortWindow
from tests.builders import SEED, SERVICE, entry, route
from tests.unit.judge.test_machine import ORACLE

T0 = 1_700_000_000_000
ENDED = T0 + 20_000
"""End of the newest window: the stage's planned time is over."""
START = entry("start", now=T0)
CALM = Assessment(score=80.0, checks=(), breached_by=None, within=True, suspicious=False)
BREACH = replace(CALM, breached_by="error_rate", within=False)


def running(*, heard_ms: int) -> ServiceState:
    """Everything speaks for the next stage. The only router was last heard then, with every proxy in place."""
    made = ServiceState("orders")
    made.read_service(SERVICE)
    made.read_entry(START, 0)
    for offset, at in enumerate((T0, heard_ms)):
        made.read_route(route(START.id).model_copy(update={"live": True}), 0, offset, at)
    labels = {v: str(Label.make(SEED, 1, 1, v, "session")) for v in ("v1", "v2")}
    known: dict[str, Any] = {"outcomes": {"ok": 50}, "buckets": {0: Bucket(n=50)}, "new_sessions": 10}
    cells = tuple(Cell(version=v, label=label, **known) for v, label in labels.items())
    window = CohortWindow(
        service="orders",
        source="mcp-requests",
        partition=0,
        partitions=1,
        window_start=ENDED - 1000,
        window_ms=1000,
        first_offset=0,
        through=1,
        clock_ms=ENDED,
        final=True,
        instance="s",
        cells=cells,
    )
    made.read_window(window)
    return made


def decide(made: ServiceState, now_ms: int, assessment: Assessment = CALM) -> Decision:
    ORACLE.assessment = assessment
    return Machine(ORACLE, "0.1").decide(made, Cut(offsets={"cohort-windows-0": 1}, now=now_ms))


def kind(entry: LedgerEntry | None) -> str | None:
    return entry.kind if entry else None


@pytest.mark.parametrize(("silent_ms", "expected"), [(SILENT_MS, "proceed"), (SILENT_MS + 1, None)])
def test_a_share_rises_only_on_pictures_that_are_five_seconds_old_at_most(silent_ms: int, expected: str | None) -> None:
    got = decide(running(heard_ms=ENDED), ENDED + silent_ms)
    assert kind(got.entry) == expected
    if expected is None:
        assert got.view.waiting_for == "Not every proxy (lb0 is missing) has acknowledged the stage's route."


def test_a_breach_rolls_back_whatever_is_unknown() -> None:
    assert kind(decide(running(heard_ms=ENDED), ENDED + 60_000, BREACH).entry) == "rollback"


def test_nobody_promotes_what_nobody_knows_the_route_of() -> None:
    made, now_ms = running(heard_ms=ENDED), ENDED + SILENT_MS + 1
    made.read_command(Command(id="c1", service="orders", kind="promote", seen=made.chain.head_id, actor="anna"), now_ms)
    assert decide(made, now_ms).entry is None


def test_a_router_that_speaks_again_is_believed_again() -> None:
    made, later = running(heard_ms=ENDED), ENDED + 30_000
    assert decide(made, later).entry is None
    made.read_route(route(START.id).model_copy(update={"live": True}), 0, 2, later)
    assert kind(decide(made, later).entry) == "proceed"


def test_to_forget_a_proxy_is_none_of_the_judges_commands() -> None:
    made = running(heard_ms=ENDED)
    made.read_command(Command(id="c1", service="orders", kind="forget", seen="", actor="anna", proxy="lb7"), ENDED)
    assert kind(decide(made, ENDED).entry) == "proceed"
    assert decide(made, ENDED).view.outcomes == ()


def test_a_stage_begins_with_the_word_that_forgets_its_last_missing_proxy() -> None:
    made = ServiceState("orders")
    made.read_service(SERVICE)
    made.read_entry(START, 0)
    cut_off = ProxyRoute(proxy="lb7", state="pending", connected=False)
    before = route(START.id)
    waiting = before.model_copy(update={"proxies": (*before.proxies, cut_off), "acknowledged": False})
    made.read_route(waiting, 0, 0, T0)
    assert made.acknowledged == {}
    made.read_route(before.model_copy(update={"forgotten": {"lb7": 0}}), 0, 1, T0 + 5)
    assert {entry: (a.offset, a.at) for entry, a in made.acknowledged.items()} == {START.id: (1, T0 + 5)}


def test_a_judge_that_was_missed_goes_on_from_where_a_router_held() -> None:
    made, later = running(heard_ms=ENDED), ENDED + 2_000
    blind = Reason(code="blind", sentence="The judge has not looked for 120 s.")
    made.read_entry(entry("hold", START, now=ENDED + 1_000, actor="router", reason=blind), 1)
    held = made.chain.head_id
    made.read_route(route(held).model_copy(update={"live": True}), 0, 2, later)
    got = decide(made, later)
    assert kind(got.entry) == "resume"
    assert got.entry is not None
    made.read_entry(got.entry, 2)
    made.read_route(route(got.entry.id).model_copy(update={"live": True}), 0, 3, later)
    assert kind(decide(made, later).entry) == "proceed"
