"""What a gate is told of a running stage, from the records themselves."""

from typing import Any

import pytest

from judge.policies.sequential import Sequential
from judge.rollout.gate import StageLook
from judge.rollout.look import stage_look
from judge.rollout.machine import Machine
from judge.rollout.state import ServiceState
from schemas.control import ProxyReport, VersionTotals
from schemas.decisions import Cut, LedgerEntry, Reason
from schemas.windows import MAX_DEAD_LETTERS, Cell
from tests.builders import ONLY_ERRORS, entry, opening, route
from tests.unit.judge.test_machine import BREACH, CALM, T0, WITHIN, close_windows, decide, served, state

START = entry("start", now=T0)
POLICY = Sequential()


def look(made: ServiceState, after_s: float = 1.0) -> StageLook:
    compared = made.under(POLICY)
    return stage_look(made, Cut(offsets={}, now=T0 + round(1000 * after_s)), compared, made.assess(POLICY))


def before(made: ServiceState, seconds: float, cell: Cell) -> None:
    """A window before the rollout."""
    close_windows(made, seconds, cell)


def old(version: str, ok: int, bad: int = 0) -> Cell:
    return Cell(version=version, label="-", outcomes={"ok": ok, "server_error": bad})


def told(made: ServiceState, at_s: float, started: int = 1, born: dict[str, int] | None = None, **sent: Any) -> None:
    versions = {name: VersionTotals(sent=n, failed=bad, active=0) for name, (n, bad) in sent.items()}
    report = ProxyReport(
        service="orders", router="r", epoch=1, proxy="lb0", started=started, at=0, versions=versions, born=born or {}
    )
    made.read_report(report, T0 + round(1000 * at_s))


def test_the_baselines_health_is_its_own_rate_in_the_hour_before_and_in_this_stage() -> None:
    made = state(START)
    before(made, -3700, old("v1", 0, 1000))
    before(made, -3000, old("v1", 900, 9))
    before(made, -1, old("v2", 0, 50))
    close_windows(made, 5, old("v1", 100, 20), served("v1"))
    got = look(made).health
    assert (got.before.requests, got.before.failed) == (909, 9)
    assert (got.now.requests, got.now.failed) == (170, 20)
    assert got.sick


def test_a_baseline_that_nobody_heard_before_is_not_called_sick() -> None:
    made = state(START)
    close_windows(made, 5, old("v1", 100, 90), served("v1"))
    assert not look(made).health.sick


def test_sessions_fit_the_share_of_the_stage_they_were_born_in() -> None:
    made = state(START)
    for second in range(1, 11):
        close_windows(made, second, served("v1", sessions=8), served("v2", sessions=2))
    assert look(made).sample_ratio.fits
    assert look(made).sample_ratio.expected == pytest.approx(20)
    for second in range(11, 21):
        close_windows(made, second, served("v1", sessions=5), served("v2", sessions=5))
    got = look(made).sample_ratio
    assert (got.canary, got.baseline, got.fits) == (70, 130, False)


def test_the_proxies_own_count_of_sessions_is_preferred() -> None:
    made = state(START)
    labels = made.under(POLICY).trial.labels
    mine, theirs = (
        next(label for (c, s), label in labels.items() if c == cohort and s.stage == 1 and s.kind == "session")
        for cohort in ("canary", "baseline")
    )
    for second in range(1, 11):
        close_windows(made, second, served("v1", sessions=20), served("v2", sessions=0))
    assert not look(made).sample_ratio.fits
    told(made, 1, born={f"v2 {mine}": 51, f"v1 {theirs}": 200})
    got = look(made).sample_ratio
    assert (got.canary, got.baseline, got.fits) == (51, 200, True)


def test_principals_are_not_drawn_by_dice() -> None:
    made = state(START)
    kinds = made.under(POLICY).trial.labels
    label = next(text for (c, s), text in kinds.items() if c == "canary" and s.kind == "principal" and s.stage == 1)
    moved = served("v2", sessions=500).model_copy(update={"label": label})
    close_windows(made, 1, served("v1", sessions=8), served("v2", sessions=2), moved)
    assert look(made).sample_ratio.canary == 2


def test_servers_that_say_another_version_are_told_with_the_stage_s_requests() -> None:
    made = state(START)
    close_windows(made, 1, served("v1"), served("v2").model_copy(update={"mismatches": 50}))
    canary, baseline = look(made).mismatches
    assert (canary.version, canary.requests, canary.mismatched, canary.real) == ("v2", 50, 50, True)
    assert (baseline.version, baseline.real) == ("v1", False)


def test_a_stage_that_is_begun_anew_forgets_what_was_not_deployed_before() -> None:
    made = state(START)
    close_windows(made, 1, served("v1"), served("v2").model_copy(update={"mismatches": 50}))
    retry = entry("retry", START, now=T0 + 2000)
    made.read_entry(retry, 1)
    made.read_route(route(retry.id), 0, 1, T0 + 3000)
    close_windows(made, 4, served("v1"), served("v2"))
    assert [(m.requests, m.mismatched) for m in look(made).mismatches] == [(50, 0), (50, 0)]


def test_a_hole_is_as_old_as_the_data_since() -> None:
    made = state(START)
    close_windows(made, 1, served("v1"), served("v2"))
    assert look(made).hole_s is None
    close_windows(made, 5, served("v1"), served("v2"), holes=3)
    close_windows(made, 12, served("v1"), served("v2"))
    assert look(made).hole_s == 7


@pytest.mark.parametrize("flood", [{"malformed": 21, "unkept": 1}, {"malformed": MAX_DEAD_LETTERS + 1}])
def test_a_flood_of_telemetry_that_nobody_can_read_or_kept_is_a_hole_and_a_few_mistakes_are_none(
    flood: dict[str, int],
) -> None:
    made = state(START)
    close_windows(made, 1, served("v1"), served("v2"), malformed=MAX_DEAD_LETTERS)
    assert look(made).hole_s is None
    close_windows(made, 5, served("v1"), served("v2"), **flood)
    close_windows(made, 12, served("v1"), served("v2"))
    assert look(made).hole_s == 7


def test_silence_knows_what_the_proxies_saw_answered_meanwhile() -> None:
    made = state(START)
    close_windows(made, 5, served("v1"), served("v2"))
    told(made, 0, v1=(0, 0), v2=(0, 0))
    for second in range(10, 80, 10):
        close_windows(made, second, served("v1"))
        told(made, second, v1=(10 * second, 0), v2=(second, second // 10))
    got = look(made, 71).canary
    assert got.broken
    assert got.answered == 60 - 6


@pytest.mark.parametrize("stale_after", ["1s", "8s", "15s"])
def test_an_impatient_plan_waits_until_proxies_can_say_that_telemetry_is_lost(stale_after: str) -> None:
    made = state(entry("start", now=T0, opening=opening(stale_after=stale_after, on_sample_ratio="ignore")))
    decided: dict[int, str] = {}
    for second in range(17):
        close_windows(made, second, served("v1"))
        told(made, second, v1=(10 * second, 0), v2=(2 * second, 0))
        found = decide(made, WITHIN, after_s=second).entry
        decided |= {second: f"{found.kind} {found.reason.code}"} if found else {}
    assert decided == {16: "hold telemetry_lost"}


def test_a_canary_that_takes_requests_and_never_answers_is_rolled_back_without_telemetry() -> None:
    """Its connections stay open and nothing of it is in a window; streams of a healthy version stay open as well."""
    made, machine, kinds = state(START), Machine(POLICY, "0.1"), []
    for second in range(0, 121, 6):
        if second:
            close_windows(made, second, served("v1"))
        v1 = VersionTotals(sent=80 * second, failed=0, active=40 * second)
        v2 = VersionTotals(sent=20 * second, failed=0, active=20 * second)
        report = ProxyReport(
            service="orders",
            router="r",
            epoch=1,
            proxy="lb0",
            started=1,
            at=0,
            versions={"v1": v1, "v2": v2},
            failures={"v2 hung": 20 * max(0, second - 5), "v2 unanswered": 20 * max(0, second - 60)},
        )
        made.read_report(report, T0 + 1000 * second)
        got = machine.decide(made, Cut(offsets={}, now=T0 + 1000 * second)).entry
        if got is not None and got.kind == "rollback":
            kinds.append((second, got.culprit))
    assert kinds[0] == (78, "availability")


@pytest.mark.parametrize(
    ("severe_from", "canary", "mode"),
    [
        ("50%", (60, 31), "rehome"),
        ("50%", (60, 29), "drain"),
        ("60%", (60, 31), "drain"),
        ("60%", (60, 37), "rehome"),
        ("40%", (60, 29), "rehome"),
    ],
)
def test_a_canary_that_fails_so_large_a_part_of_its_requests_is_left_at_once(
    severe_from: str, canary: tuple[int, int], mode: str
) -> None:
    made = state(entry("start", now=T0, opening=opening(rollback={"severe_from": severe_from})))
    n, bad = canary
    buckets = {i: {"n": n // 4, "err": bad // 4 + (i < bad % 4)} for i in range(4)}
    bad_cell = Cell.model_validate(
        {**served("v2", sessions=2).model_dump(), "outcomes": {"ok": n - bad, "server_error": bad}, "buckets": buckets}
    )
    for second in range(1, 6):
        close_windows(made, second, served("v1", sessions=8), bad_cell)
    got = Machine(POLICY, "0.1").decide(made, Cut(offsets={}, now=T0 + 6000)).entry
    assert got is not None
    assert (got.kind, got.culprit, got.hold_mode) == ("rollback", "error_rate", mode)


def resumed(code: str, by: str = "anna", last: LedgerEntry = START) -> tuple[LedgerEntry, LedgerEntry]:
    hold = entry("hold", last, now=T0 + 2000, reason=Reason(code=code, sentence="Hm."))
    return hold, entry("resume", hold, now=T0 + 3000, actor=by)


def test_what_a_person_resumed_holds_nobody_again_in_this_stage() -> None:
    made = state(START, *resumed("mismatch"))
    close_windows(made, 4, served("v1"), served("v2"))
    assert look(made).waived == {"mismatch"}
    by_itself = state(START, *resumed("stale", by="judge"))
    close_windows(by_itself, 4, served("v1"), served("v2"))
    assert look(by_itself).waived == frozenset()
    hold, resume = resumed("mismatch")
    anew = state(START, hold, resume, entry("retry", resume, now=T0 + 4000))
    close_windows(anew, 4, served("v1"), served("v2"))
    assert look(anew).waived == frozenset()


def test_a_person_who_resumes_is_not_asked_again_for_the_same() -> None:
    def mismatched(*entries: LedgerEntry) -> ServiceState:
        made = state(START, *entries)
        close_windows(made, 4, served("v1"), served("v2").model_copy(update={"mismatches": 50}))
        return made

    held = decide(mismatched(), after_s=4).entry
    assert held is not None
    assert (held.kind, held.reason.code) == ("hold", "mismatch")
    assert decide(mismatched(*resumed("mismatch")), after_s=4).entry is None


def test_a_score_below_the_plan_s_is_a_rollback() -> None:
    start = entry("start", now=T0, opening=opening(rollback_below=85.0, checks=ONLY_ERRORS))
    made = state(start)
    close_windows(made, 10, served("v1"), served("v2"))
    got = decide(made, CALM, after_s=10).entry
    assert got is not None
    assert (got.kind, got.reason.code, got.culprit) == ("rollback", "score", None)
    assert decide(made, BREACH, after_s=10).entry is not None
