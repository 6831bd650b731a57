"""When the judge is blind, as a router sees it, and what is written then."""

from typing import Any

import pytest

from router.blindness import ASLEEP_S, Blindness, word
from schemas.control import RolloutView
from schemas.decisions import Cut, LedgerEntry
from schemas.ledger import Accepted, ServiceLedger
from tests.builders import entry, opening


def view(judged: int, head: str = "h", looked_at: int = 1) -> RolloutView:
    return RolloutView(service="orders", rollout=1, head=head, judged={"route-changes-0": judged}, looked_at=looked_at)


class Router:
    """Ticks each second and tells a picture each second, as long as a rollout is live."""

    def __init__(self) -> None:
        self.blindness = Blindness()
        self.now_s = 1_000.0
        self.offset = -1

    def passes(self, seconds: int, *, tells: bool = True, reachable: bool = True, looks: bool = False) -> "Router":
        for _ in range(seconds):
            self.now_s += 1
            self.blindness.tick(self.now_s, reachable=reachable)
            if tells:
                self.offset += 1
                self.blindness.told("orders", "route-changes", 0, self.offset, self.now_s)
            if looks:
                self.judge_looks()
        return self

    def judge_looks(self, looked_at: int = 1) -> None:
        self.blindness.view(view(self.offset + 1, looked_at=looked_at), self.now_s)

    @property
    def lasts_s(self) -> float:
        return self.blindness.lasts_s("orders", self.now_s)


def test_a_judge_that_reads_on_is_not_blind() -> None:
    assert Router().passes(600, looks=True).lasts_s == 0


def test_a_judge_that_reads_nothing_is_blind_from_the_first_record_that_it_misses() -> None:
    router = Router().passes(10, looks=True).passes(60)
    assert router.lasts_s == 59
    router.judge_looks()
    assert router.lasts_s == 0


def test_a_judge_that_was_never_heard_is_blind_from_the_first_record_on() -> None:
    assert Router().passes(60).lasts_s == 59


def test_a_log_to_which_nobody_writes_makes_nobody_blind() -> None:
    router = Router().passes(10, looks=True).passes(3_600, tells=False)
    assert router.lasts_s == 0
    assert router.passes(1).lasts_s == 0, "the hour before counts for nothing"
    assert router.passes(30).lasts_s == 30


def test_a_view_that_is_told_again_and_does_not_move_is_no_heartbeat() -> None:
    router = Router().passes(1, looks=True)
    for looked_at in range(60):
        router.passes(1)
        router.blindness.view(view(1, looked_at=looked_at), router.now_s)
    assert router.lasts_s == 59


def test_a_judge_that_is_behind_and_moves_is_not_blind() -> None:
    router = Router().passes(100)
    for judged in range(20):
        router.passes(1)
        router.blindness.view(view(judged), router.now_s)
    assert router.offset > 100
    assert router.lasts_s == 0


def test_time_without_a_log_counts_for_nothing() -> None:
    router = Router().passes(10, looks=True).passes(60).passes(300, tells=False, reachable=False)
    assert router.lasts_s == 0
    assert router.passes(60).lasts_s == 60


def test_time_asleep_counts_for_nothing() -> None:
    router = Router().passes(10, looks=True).passes(60)
    router.now_s += ASLEEP_S + 3_600
    router.blindness.tick(router.now_s, reachable=True)
    assert router.lasts_s == 0
    assert router.passes(60).lasts_s == 60


def test_what_the_judge_writes_is_a_heartbeat_and_what_others_write_is_none() -> None:
    router = Router().passes(60)
    router.blindness.decided(entry("hold", START, now=5), router.now_s)
    assert router.lasts_s == 59
    cut = Cut(offsets={"route-changes-0": router.offset + 1}, now=5)
    router.blindness.decided(entry("resume", entry("hold", START), cut=cut), router.now_s)
    assert router.lasts_s == 0
    router.passes(10)
    router.blindness.view(view(router.offset - 9), router.now_s)
    assert router.lasts_s == 0, "it moves, and is behind"


def test_one_services_silence_is_not_anothers() -> None:
    router = Router().passes(60)
    assert router.blindness.lasts_s("billing", router.now_s) == 0


# What is written.

LONG = 120.0
"""The plan's default `blind_after`."""


def chain(*entries: LedgerEntry) -> ServiceLedger:
    made = ServiceLedger()
    for offset, item in enumerate(entries):
        made, result = made.read(item, offset)
        assert isinstance(result, Accepted), result
    return made


def started(**plan: Any) -> LedgerEntry:
    return entry("start", opening=opening(**plan))


START = started()


def test_before_the_plans_time_nothing_is_written() -> None:
    assert word(chain(START), LONG - 0.1, 5) is None


def test_a_running_rollout_is_held_by_the_router_and_the_chain_takes_it_once() -> None:
    before = chain(START)
    said = word(before, LONG, 5)
    assert said is not None
    assert (said.kind, said.actor, said.reason.code, said.share, said.after) == (
        "hold",
        "router",
        "blind",
        START.share,
        START.id,
    )
    assert "has not looked for 120 s" in said.reason.sentence
    after, result = before.read(said, 1)
    assert isinstance(result, Accepted)
    assert word(after, LONG + 60, 6) is None


def test_a_plan_may_want_it_rolled_back() -> None:
    before = chain(started(on_blind="rollback"))
    said = word(before, LONG, 5)
    assert said is not None
    assert (said.kind, said.actor, said.share, said.hold_mode) == ("rollback", "router", 0, "drain")
    after, result = before.read(said, 1)
    assert isinstance(result, Accepted)
    assert word(after, LONG + 60, 6) is None


def test_a_held_canary_that_nobody_watches_is_rolled_back_too_where_the_plan_wants_that() -> None:
    start = started(on_blind="rollback")
    assert word(chain(start, entry("hold", start, now=2)), LONG, 5) is not None
    assert word(chain(START, entry("hold", START, now=2)), LONG, 5) is None


def test_a_plan_that_observes_is_only_held() -> None:
    said = word(chain(started(on_blind="rollback", observe=True)), LONG, 5)
    assert said is not None
    assert said.kind == "hold"


def test_the_plan_says_how_long() -> None:
    before = chain(started(blind_after="30s"))
    assert word(before, 29.9, 5) is None
    assert word(before, 30.0, 5) is not None


@pytest.mark.parametrize("ended", ["rollback", "complete"])
def test_what_cannot_rise_any_more_needs_no_eyes(ended: Any) -> None:
    assert word(chain(START, entry(ended, START, now=2)), 10 * LONG, 5) is None


def test_a_start_that_waits_for_approval_and_a_service_without_a_rollout_expose_nobody() -> None:
    assert word(chain(started(approve=["start"], on_blind="rollback")), LONG, 5) is None
    assert word(ServiceLedger(), LONG, 5) is None
    assert word(chain(entry("freeze")), LONG, 5) is None


def test_the_judge_takes_a_routers_word_for_a_word_without_a_cut() -> None:
    said = word(chain(START), LONG, 5)
    assert said is not None
    assert said.cut.offsets == {}
