"""The comparison of judges: from runs to results, tables, plots and the page."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.judge import simulate as simulation
from bench.judge.document import DOCS, planner, write
from bench.judge.faults import FAULTS
from bench.judge.limit import CLUMPS, _own_errors, expected_bound_s, robust_bound_s
from bench.judge.plots import false_alarms, times
from bench.judge.results import FILE, NAMES, OtherJudgesError, Results, Run, Said, append, begin, tuned_line
from bench.judge.rivals import JUDGES, OURS, Tuned, Verdict, _z, moving, naive, tuned_rule, z_test
from bench.judge.simulate import emptiest, goal, simulate, simulated
from bench.judge.tables import cells, heading, percent, tables
from bench.judge.targets import targets
from bench.judge.traffic import stream
from bench.judge.windows import Rollout
from judge.policies.revisions import REVISIONS

LIMITS = Tuned(0.2, 0.3, 5_000.0)


def run(fault: str, seed: int, verdict: Verdict, harmed: int = 0, bound_s: float | None = None) -> Run:
    return Run(10.0, fault, seed, bound_s, 1.0, dict.fromkeys(NAMES, Said(verdict, harmed)))


@pytest.fixture(scope="module")
def outage() -> Run:
    return simulated(10.0, "outage", 0, LIMITS)


def test_identical_cohorts_are_never_rolled_back_by_ours_not_in_an_incident_either() -> None:
    assert JUDGES[OURS](Rollout(stream(1.0, FAULTS["incident"], 0))).end != "rolled_back"


def test_an_outage_is_found_by_everybody_and_by_ours_after_three_sessions(outage: Run) -> None:
    assert {said.verdict.end for said in outage.said.values()} == {"rolled_back"}
    said = outage.said
    ours = said[OURS]
    assert 3 <= ours.harmed <= 6
    assert outage.bound_s is not None
    assert (
        outage.bound_s
        < ours.verdict.at_s
        < min(
            said[rival].verdict.at_s
            for rival in ("Flagger static", "Flagger relative", "Kayenta 5 min", "Kayenta at the end")
        )
    )


def test_the_z_test_is_the_textbooks() -> None:
    bad, n = np.array([[10.0, 30.0], [10.0, 4.0]]), np.array([[1000.0, 1000.0], [1000.0, 10.0]])
    z = _z(bad, n, 0.005)
    assert z[0] == pytest.approx((0.03 - 0.01 - 0.005) / np.sqrt(0.03 * 0.97 / 1000 + 0.01 * 0.99 / 1000))
    assert z[1] == 0
    assert z_test(Rollout(stream(10.0, FAULTS["errors+20"], 0))).end == "rolled_back"


def test_sums_are_compared_each_minute_from_twenty_calls_on() -> None:
    rollout = Rollout(stream(10.0, FAULTS["outage"], 0))
    found = naive(rollout)
    minutes = int(found.at_s // 60)
    calls = rollout.counts[:, 1, 0].cumsum()
    assert found.end == "rolled_back"
    assert found.at_s % 60 == 0
    assert calls[12 * minutes - 1] >= 20
    assert minutes == 1 or calls[12 * (minutes - 1) - 1] < 20


def test_sums_that_are_alike_are_never_rolled_back() -> None:
    rollout = Rollout(stream(1.0, FAULTS["none"], 0))
    for halves in (rollout.counts, rollout.histograms):
        halves[:, 1] = halves[:, 0]
    assert naive(rollout).end == "proceeded"


def test_each_revision_of_the_policy_is_a_column_and_the_usual_one_is_ours() -> None:
    assert {f"revision {number}" for number in REVISIONS} <= set(NAMES)
    assert [heading(name) for name in NAMES if heading(name) == "ours"] == ["ours"]


def test_the_tuned_rule_never_rolls_back_what_it_was_tuned_on() -> None:
    rollout = Rollout(stream(1.0, FAULTS["none"], 0))
    largest = Tuned(*moving(rollout).max(axis=0).tolist())
    assert tuned_rule(rollout, largest).end == "proceeded"
    worse = Tuned(largest.error_rate * 0.9, largest.tool_failures, largest.p99_ms)
    assert tuned_rule(rollout, worse).end == "rolled_back"


def test_a_run_is_a_line_and_a_line_the_run(outage: Run, tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    begin(file, Results())
    append(file, tuned_line(10.0, LIMITS))
    append(file, outage.line())
    found = Results.load(file)
    assert found.tuned == {10.0: LIMITS}
    (got,) = found.runs
    assert (got.rate, got.fault, got.seed, got.said) == (10.0, "outage", 0, outage.said)


def test_a_line_that_was_cut_off_is_simulated_again_and_other_judges_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    begin(file, Results())
    append(file, run("none", 0, Verdict("held")).line())
    file.write_text(file.read_text() + '{"rate":10.0,"fau')
    assert Results.load(file).many(10.0, "none") == 1
    file.write_text('{"judges":["nobody"]}\n')
    with pytest.raises(OtherJudgesError, match="nobody"):
        Results.load(file)


def test_a_judge_that_was_added_later_is_asked_about_the_streams_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, asked = tmp_path / "results.jsonl", list[tuple[str, ...]]()

    def complete(before: Run, _: Tuned) -> Run:
        asked.append(before.unasked)
        return run(before.fault, before.seed, Verdict("held"))

    monkeypatch.setattr(simulation, "completed", complete)
    judges = [name for name in NAMES if name != "naive sums"]
    words = " ".join(["p6000:0"] * len(judges))
    file.write_text(
        f'{{"judges":{json.dumps(judges)}}}\n{tuned_line(10.0, LIMITS)}\n'
        f'{{"rate":10.0,"fault":"none","seed":0,"cpu":1.0,"said":"{words}"}}\n'
    )
    assert "(1 of 200) | 0 % (< 100 %) |" in tables(Results.load(file))
    turns = iter([True, True, False])
    simulate(file, (10.0,), lambda: next(turns))
    found = Results.load(file)
    assert asked == [("naive sums",)]
    assert [one.unasked for one in found.runs] == [()]
    assert found.many(10.0, "none") == 1
    assert Run.read(json.loads(found.runs[0].line()), NAMES) == found.runs[0]


def test_saved_results_are_the_same_ones_with_a_line_a_run(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    later, first = run("outage", 1, Verdict("rolled_back", 30.0), 3, 8.0), run("none", 0, Verdict("held"))
    begin(file, Results())
    for line in (tuned_line(10.0, LIMITS), replace(later, said={}).line(), first.line(), later.line()):
        append(file, line)
    found = Results.load(file)
    found.save(file)
    assert len(file.read_text().splitlines()) == 2 + 2
    assert Results.load(file) == found
    assert found.runs == [first, later]


def test_of_fewer_streams_a_judge_s_cell_says_so() -> None:
    first, second = (run("none", seed, Verdict("held")) for seed in (0, 1))
    fewer = replace(second, said={name: said for name, said in second.said.items() if name != "naive sums"})
    told = tables(Results([first, fewer]))
    assert "0 % (< 100 %), held 100 % (of 1) |" in told
    assert told.count("(of 1)") == 1


def test_the_second_revision_is_another_judge() -> None:
    rollout = Rollout(stream(10.0, FAULTS["errors+20"], 8, 300.0))
    assert JUDGES["revision 2"](rollout).at_s < JUDGES["revision 1"](rollout).at_s


def test_the_emptiest_cell_is_next_and_a_full_table_is_full() -> None:
    found = Results(tuned={10.0: LIMITS})
    assert emptiest(found, (10.0,)) == (10.0, "none")
    found.runs = [run(fault, 0, Verdict("held")) for fault in FAULTS]
    assert emptiest(found, (10.0,)) == (10.0, "none")  # half as much of its goal
    found.runs = [run(fault, i, Verdict("held")) for fault in FAULTS for i in range(goal(10.0, fault))]
    assert emptiest(found, (10.0,)) is None
    assert emptiest(Results(), (10.0,)) is None
    assert emptiest(Results(tuned={10.0: LIMITS}), (10.0,), ["die"]) == (10.0, "die")


def test_a_stopped_simulation_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "simulated", lambda rate, fault, seed, _: run(fault, seed, Verdict("held")))
    monkeypatch.setattr(simulation, "tuned", lambda *_: LIMITS)
    file = tmp_path / "results.jsonl"
    for _ in range(2):
        turns = iter([True] * 7 + [False] * 3)
        simulate(file, (10.0,), lambda: next(turns))  # noqa: B023 - used at once
    found = Results.load(file)
    assert len(found.runs) == len({(r.fault, r.seed) for r in found.runs}) == 11
    assert file.read_text().count("tuned") == 1 + file.read_text().count('"judges"')


def test_a_table_says_shares_with_their_errors_and_of_how_many_runs() -> None:
    healthy = [run("none", i, Verdict("rolled_back", 60.0) if i < 2 else Verdict("held")) for i in range(8)]
    told = tables(Results(healthy))
    assert "| none (8 of 200) | 25 ± 15 %, held 75 % |" in told


def test_a_table_says_times_harm_and_what_went_wrong() -> None:
    caught = [run("errors+5", i, Verdict("rolled_back", 100.0 + i), 10 + i, 50.0) for i in range(5)]
    missed = [run("errors+5", 5, Verdict("proceeded"), 99, 50.0), run("errors+5", 6, Verdict("held"), 99, 50.0)]
    told = tables(Results([*caught, *missed]))
    assert "errors +5 pp (7 of 100) | 103 s / never · 12, 71 ± 17 % found, wrong 14 %, held 14 % |" in told
    assert "errors +5 pp (5 of 100) | 102 s ± 1 / 104 s · 12 |" in tables(Results(caught))
    assert told.rstrip().endswith("| 50 s | 2.1 |")
    assert tables(Results([caught[0], *missed])).rstrip().endswith("| 50 s | – |")


def test_a_rollback_before_the_fault_is_early_and_no_time_of_it() -> None:
    early = run("leak", 0, Verdict("rolled_back", 300.0))
    late = run("leak", 1, Verdict("rolled_back", 900.0), 7)
    (cell,) = cells(Results([early, late]), 10.0)
    column = cell.column(OURS)
    assert (column.early, column.times_s, column.harmed) == (0.5, (300.0,), 7.0)


def test_nothing_seen_is_not_nothing_there() -> None:
    assert percent(0.0, 30) == "0 % (< 10 %)"
    assert percent(0.0, 1000) == "0 % (< 0.3 %)"
    assert percent(1.0, 30) == "100 % (> 90 %)"
    assert percent(0.5, 100) == "50 ± 5 %"
    assert percent(0.005, 200) == "0.5 ± 0.5 %"
    assert percent(0.995, 200) == "99.5 ± 0.5 %"


def test_a_target_that_is_missed_is_said_to_be() -> None:
    runs = [run("none", i, Verdict("rolled_back" if i < 2 else "proceeded", 60.0)) for i in range(100)]
    runs += [run("errors+20", i, Verdict("rolled_back", 50.0), 3, 30.0) for i in range(3)]
    runs += [run("errors+5", i, Verdict("rolled_back", 250.0), 3, 140.0) for i in range(3)]
    rows = [[part.strip() for part in line.strip("|").split("|")] for line in targets(Results(runs)).splitlines()[2:]]
    told = {title: (most, ours) for title, most, ours, _ in rows}
    assert told["nothing beyond a margin: rolled back"] == ("1 %", "2 ± 1 % of 100, **missed**")
    assert told["something beyond a margin: proceeded"] == ("1 %", "0 % (< 50 %) of 6")
    assert told["errors +20 pp: median time; the bound for this stream's clumps is 30 s"] == ("50 s", "50 s of 3")
    assert told["errors +5 pp: median time; the bound for this stream's clumps is 140 s"] == (
        "215 s",
        "250 s of 3, **missed**",
    )
    assert sum("the bound for clumps of" in title for title in told) == 2
    assert sum("the bound for any clumps" in title for title in told) == 2


def test_the_bound_for_clumps_laid_down_beforehand_is_longer_the_larger_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = expected_bound_s("errors+20", 10.0)
    assert 45 < found < 60
    monkeypatch.setitem(CLUMPS, "errors+20", 1.0)
    assert expected_bound_s("errors+20", 10.0) < found / 1.3


def test_the_bound_for_any_clumps_lies_between_those_for_none_and_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.judge.limit.CLUMPS", {"errors+20": 1.0, "errors+5": 1.0})
    for fault in ("errors+20", "errors+5"):
        found = robust_bound_s(fault, 10.0)
        assert found is not None
        assert 0.99 * expected_bound_s(fault, 10.0) < found < 1.3 * expected_bound_s(fault, 10.0)
    assert robust_bound_s("p99x1.5", 10.0) is None


def test_errors_of_a_session_are_beta_binomial() -> None:
    for calls in (0, 1, 7):
        chances = _own_errors(calls)
        assert chances.sum() == pytest.approx(1)
        assert chances @ np.arange(calls + 1) == pytest.approx(0.005 * calls)
    variance = _own_errors(7) @ np.arange(8) ** 2 - 0.035**2
    assert variance == pytest.approx(7 * 0.005 * 0.995 * (1 + 6 * 0.1))


def test_what_the_planner_predicts_stands_beside_what_was_seen() -> None:
    told = planner(Results([run("outage", i, Verdict("rolled_back", 20.0 + i)) for i in range(3)]))
    ((rate, title, predicted, seen),) = [
        [part.strip() for part in line.strip("|").split("|")] for line in told.splitlines()[2:]
    ]
    assert (rate, title, seen) == ("10", "outage", "21 s (3)")
    assert 20 < float(predicted.removesuffix(" s")) < 60


def test_plots_are_pictures_of_every_judge() -> None:
    found = Results([run("none", 0, Verdict("held")), run("outage", 0, Verdict("rolled_back", 30.0), 3, 8.0)])
    for picture in (false_alarms(found, 10.0), times(found, 10.0)):
        words = [element.text for element in ET.fromstring(picture).iter() if element.text]
        assert set(map(heading, NAMES)) <= set(words)


def test_who_rolls_every_run_back_before_the_fault_has_no_time_and_no_dot() -> None:
    early = Results([run("leak", i, Verdict("rolled_back", 300.0)) for i in range(2)])
    (cell,) = cells(early, 10.0)
    assert cell.column(OURS).median_s == np.inf
    dots = "<circle"
    assert times(early, 10.0).count(dots) == len(NAMES)  # the legend's


def test_the_shipped_page_is_what_the_shipped_results_give(tmp_path: Path) -> None:
    write(Results.load(FILE), tmp_path)
    for file in tmp_path.rglob("*.*"):
        assert file.read_text() == (DOCS / file.relative_to(tmp_path)).read_text(), file.name
    assert "{{" not in (tmp_path / "statistics.md").read_text()
    assert FILE.stat().st_size < 1_000_000
