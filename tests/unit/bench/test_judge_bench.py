"""The comparison of judges: from runs to results, tables, plots and the page."""

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from bench.judge import simulate as simulation
from bench.judge.document import DOCS, planner, write
from bench.judge.faults import FAULTS
from bench.judge.plots import false_alarms, times
from bench.judge.results import FILE, NAMES, OtherJudgesError, Results, Run, Said, append, tuned_line
from bench.judge.rivals import JUDGES, Tuned, Verdict, _z, moving, tuned_rule, z_test
from bench.judge.simulate import emptiest, goal, simulate, simulated
from bench.judge.tables import cells, percent, tables
from bench.judge.traffic import stream
from bench.judge.windows import Rollout

LIMITS = Tuned(0.2, 0.3, 5_000.0)


def run(fault: str, seed: int, verdict: Verdict, harmed: int = 0, bound_s: float | None = None) -> Run:
    return Run(10.0, fault, seed, bound_s, 1.0, (Said(verdict, harmed),) * len(NAMES))


@pytest.fixture(scope="module")
def outage() -> Run:
    return simulated(10.0, "outage", 0, LIMITS)


def test_identical_cohorts_are_never_rolled_back_by_ours_not_in_an_incident_either() -> None:
    assert JUDGES["ours"](Rollout(stream(1.0, FAULTS["incident"], 0))).end != "rolled_back"


def test_an_outage_is_found_by_everybody_and_by_ours_after_three_sessions(outage: Run) -> None:
    assert {said.verdict.end for said in outage.said} == {"rolled_back"}
    ours = outage.said[0]
    assert 3 <= ours.harmed <= 6
    assert outage.bound_s is not None
    assert outage.bound_s < ours.verdict.at_s < min(outage.said[i].verdict.at_s for i in (1, 2, 5, 6))


def test_the_z_test_is_the_textbooks() -> None:
    bad, n = np.array([[10.0, 30.0], [10.0, 4.0]]), np.array([[1000.0, 1000.0], [1000.0, 10.0]])
    z = _z(bad, n, 0.005)
    assert z[0] == pytest.approx((0.03 - 0.01 - 0.005) / np.sqrt(0.03 * 0.97 / 1000 + 0.01 * 0.99 / 1000))
    assert z[1] == 0
    assert z_test(Rollout(stream(10.0, FAULTS["errors+20"], 0))).end == "rolled_back"


def test_the_tuned_rule_never_rolls_back_what_it_was_tuned_on() -> None:
    rollout = Rollout(stream(1.0, FAULTS["none"], 0))
    largest = Tuned(*moving(rollout).max(axis=0).tolist())
    assert tuned_rule(rollout, largest).end == "proceeded"
    worse = Tuned(largest.error_rate * 0.9, largest.tool_failures, largest.p99_ms)
    assert tuned_rule(rollout, worse).end == "rolled_back"


def test_a_run_is_a_line_and_a_line_the_run(outage: Run, tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    append(file, tuned_line(10.0, LIMITS, 20))
    append(file, outage.line())
    found = Results.load(file)
    assert found.tuned == {10.0: LIMITS}
    (got,) = found.runs
    assert (got.rate, got.fault, got.seed, got.said) == (10.0, "outage", 0, outage.said)


def test_a_line_that_was_cut_off_is_simulated_again_and_other_judges_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    append(file, run("none", 0, Verdict("held")).line())
    file.write_text(file.read_text() + '{"rate":10.0,"fau')
    assert Results.load(file).many(10.0, "none") == 1
    file.write_text('{"judges":["nobody"]}\n')
    with pytest.raises(OtherJudgesError, match="nobody"):
        Results.load(file)


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
        turns = iter([True] * 6 + [False] * 3)
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
    assert (
        "errors +5 pp (7 of 100) | 102 s ± 1 s / 104 s · 12, 71 ± 17 % found, wrong 14 %, held 14 % |"
        in told.replace("± 1 /", "± 1 s /")
    )
    assert told.rstrip().endswith("| 50 s | 2.1 |")
    assert tables(Results([caught[0], *missed])).rstrip().endswith("| 50 s | – |")


def test_a_rollback_before_the_fault_is_early_and_no_time_of_it() -> None:
    early = run("leak", 0, Verdict("rolled_back", 300.0))
    late = run("leak", 1, Verdict("rolled_back", 900.0), 7)
    (cell,) = cells(Results([early, late]), 10.0)
    column = cell.column("ours")
    assert (column.early, column.times_s, column.harmed) == (0.5, (300.0,), 7.0)


def test_nothing_seen_is_not_nothing_there() -> None:
    assert percent(0.0, 30) == "0 % (< 10 %)"
    assert percent(0.0, 1000) == "0 % (< 0.3 %)"
    assert percent(1.0, 30) == "100 % (> 90 %)"
    assert percent(0.5, 100) == "50 ± 5 %"


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
        assert set(NAMES) <= set(words)


def test_the_shipped_page_is_what_the_shipped_results_give(tmp_path: Path) -> None:
    write(Results.load(FILE), tmp_path)
    for file in tmp_path.rglob("*.*"):
        assert file.read_text() == (DOCS / file.relative_to(tmp_path)).read_text(), file.name
    assert "{{" not in (tmp_path / "statistics.md").read_text()
    assert FILE.stat().st_size < 500_000
