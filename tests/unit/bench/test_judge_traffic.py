"""The simulated traffic: what it is made of, and how policies read it."""

import numpy as np
import pytest

from bench.judge.faults import FAULTS, Fault
from bench.judge.limit import bound_s, dispersion, divergence
from bench.judge.traffic import (
    CELLS,
    FIRST_SHARE,
    HORIZON_S,
    NOMINAL_P99_MS,
    STARTS_S,
    WINDOWS,
    Stream,
    expected_of_canary,
    slower_than,
    stream,
)
from bench.judge.windows import PLAN, Rollout, times_at
from judge.policies.cohort_series import total_of
from judge.stats.histogram import BINS, quantile
from judge.trial import COHORTS
from schemas.windows import SESSION_AGES_S


@pytest.fixture(scope="module")
def healthy() -> Stream:
    return stream(1.0, FAULTS["none"], 1)


def test_a_seed_gives_the_same_stream_and_another_another(healthy: Stream) -> None:
    again, other = stream(1.0, FAULTS["none"], 1), stream(1.0, FAULTS["none"], 2)
    assert (again.table == healthy.table).all()
    assert all((a == b).all() for a, b in zip(again.latency, healthy.latency, strict=True))
    assert other.table.sum() != healthy.table.sum()


def test_every_request_is_counted_once_in_every_form(healthy: Stream) -> None:
    requests, _, tools, failed, tool_errors = healthy.table.sum(axis=(0, 1, 2)).tolist()
    assert healthy.latency[1].sum() == requests
    assert healthy.tools[1].sum() == tools
    assert healthy.tools[1][healthy.tools[0] % 2 == 1].sum() == failed >= tool_errors
    born = healthy.lives[1][healthy.lives[0] % len(SESSION_AGES_S) == 0].sum()
    assert born == healthy.births.sum()


def test_traffic_is_what_the_page_says(healthy: Stream) -> None:
    requests, errors, tools, failed, _ = healthy.table.sum(axis=(0, 1, 2)).tolist()
    sessions = healthy.births.sum()
    assert sessions / HORIZON_S == pytest.approx(1.0, rel=0.15)
    assert requests / sessions == pytest.approx(12, rel=0.1)
    assert sessions / requests == pytest.approx(FIRST_SHARE, rel=0.1)
    assert tools / requests == pytest.approx(0.8, abs=0.01)
    assert errors / requests == pytest.approx(0.005, abs=0.002)
    assert failed / tools == pytest.approx(0.025, abs=0.006)
    assert dispersion(healthy, "error_rate") >= 1


def test_each_stage_has_its_share_of_the_sessions_born_in_it() -> None:
    births = stream(10.0, FAULTS["none"], 1).births.sum(axis=0).reshape(3, 2)
    shares = births[:, 1] / births.sum(axis=1)
    assert shares == pytest.approx([0.01, 0.10, 0.50], rel=0.3)
    assert [times_at(s).stage for s in (5.0, 600.0, 605.0, 6000.0)] == [1, 1, 2, 3]
    assert times_at(2405.0).started_ms == (0, 600_000, 2_400_000)
    assert sum(stage.duration_s for stage in PLAN.stages) == HORIZON_S
    assert STARTS_S[2] == sum(stage.duration_s for stage in PLAN.stages[:2])


def test_the_canary_has_about_as_many_calls_as_are_expected() -> None:
    several = [stream(10.0, FAULTS["none"], seed, 900.0) for seed in range(4)]
    seen = np.mean([Rollout(one).counts[:, 1, 0].cumsum()[[59, 119, 179]] for one in several], axis=0)
    assert seen == pytest.approx([expected_of_canary(10.0, s) for s in (300.0, 600.0, 900.0)], rel=0.2)


def test_the_usual_p99_is_that_of_a_healthy_baseline(healthy: Stream) -> None:
    found = quantile(np.asarray(Rollout(healthy).histograms[:, 0].sum(axis=0)), 0.99)
    assert slower_than(NOMINAL_P99_MS) == pytest.approx(0.01)
    assert found == pytest.approx(NOMINAL_P99_MS, rel=0.1)


def test_windows_and_values_over_time_say_the_same(healthy: Stream) -> None:
    rollout = Rollout(healthy)
    windows = rollout.windows
    assert [w.end_ms for w in windows] == sorted({w.end_ms for w in windows})
    for side, cohort in enumerate(COHORTS):
        cells = [cell for w in windows for cell in w.cells(cohort)]
        requests, errors, tools, failed, _ = rollout.counts[:, side].sum(axis=0).tolist()
        assert sum(sum(cell.outcomes.values()) for cell in cells) == requests
        total = getattr(rollout.series.total, cohort)
        assert (total.count("error_rate").n, total.count("error_rate").bad) == (requests, errors)
        assert (total.tool_calls, total.tool_failures) == (tools, failed)
        assert sum(total.histogram.values()) == requests == rollout.histograms[:, side].sum()
        assert sum(sum(pair[cohort].buckets[:, 0]) for w in windows for pair in w.strata.values()) == requests
    minutes = rollout.by_minute
    assert len(minutes.slots) == 100
    assert total_of(s.canary for s in minutes.slots) == total_of(s.canary for s in rollout.series.slots)


def test_bucket_histograms_hold_what_is_above_their_floor(healthy: Stream) -> None:
    rollout = Rollout(healthy)
    for window in rollout.windows[500:520]:
        for cell in window.cells("baseline"):
            assert cell.bucket_floor is not None
            above = sum(n for index, n in cell.histogram.items() if index // 4 >= cell.bucket_floor)
            assert sum(sum(bins.values()) for bins in cell.bucket_histograms.values()) == above


@pytest.mark.parametrize("name", ["none", "incident", "late-incident", "baseline+20"])
def test_what_is_not_the_canarys_fault_harms_nobody(name: str) -> None:
    assert len(stream(1.0, FAULTS[name], 3).harmed_s) == 0


def test_a_fault_harms_the_canarys_sessions_from_its_begin_on() -> None:
    leak = stream(1.0, FAULTS["leak"], 3)
    assert leak.harmed_s[0] > 600
    assert leak.harmed_by(600.0) == 0
    assert leak.harmed_by(HORIZON_S) == len(leak.harmed_s)
    outage = stream(1.0, FAULTS["outage"], 3)
    assert outage.harmed_by(HORIZON_S) == outage.births[:, 1::2].sum()
    assert (outage.table[:, 1::2, :, 0] == outage.table[:, 1::2, :, 1]).all()


def test_sessions_that_die_are_heard_no_more() -> None:
    dying = stream(1.0, FAULTS["die"], 3)
    cell, _ = np.divmod(dying.lives[0], WINDOWS * len(SESSION_AGES_S))
    ages = dying.lives[0] % len(SESSION_AGES_S)
    assert ages[(cell % 2 == 1)].max() == SESSION_AGES_S.index(120.0)
    assert ages[(cell % 2 == 0)].max() > SESSION_AGES_S.index(300.0)


def test_an_incident_is_shared_and_passes() -> None:
    counts = Rollout(stream(10.0, FAULTS["incident"], 3)).counts
    rates = [
        counts[a:b, side, 1].sum() / counts[a:b, side, 0].sum() for a, b in ((300, 360), (400, 460)) for side in (0, 1)
    ]
    assert rates[0] == pytest.approx(0.3, abs=0.05)
    assert rates[1] == pytest.approx(0.3, abs=0.12)
    assert max(rates[2:]) < 0.03


def test_a_heavy_client_fails_thousands_of_calls() -> None:
    heavy, without = (stream(1.0, fault, 3) for fault in (FAULTS["heavy"], Fault("")))
    more = int(heavy.table[..., 1].sum() - without.table[..., 1].sum())
    assert more > 4_000
    assert heavy.table[..., 1].sum(axis=(0, 1)).max() > 1_500


def test_walds_bound_is_the_clumps_over_the_information_of_a_call() -> None:
    assert divergence(0.055, 0.01) == pytest.approx(0.055 * np.log(5.5) + 0.945 * np.log(0.945 / 0.99))
    assert divergence(1.0, 0.01) == pytest.approx(np.log(100))
    fault = FAULTS["errors+20"]
    rollout = Rollout(stream(10.0, fault, 3))
    bound = bound_s(rollout, fault)
    assert bound is not None
    needed = dispersion(rollout.stream, "error_rate") * np.log(20) / divergence(0.205, 0.01)
    calls = rollout.counts[:, 1, 0].cumsum()
    assert calls[int(bound // 5) - 1] <= needed <= calls[int(bound // 5)]
    assert bound_s(rollout, FAULTS["none"]) is None


def test_the_bound_of_a_tool_that_fails_is_that_of_its_own_calls() -> None:
    fault = FAULTS["tool+100"]
    rollout = Rollout(stream(10.0, fault, 3))
    bound = bound_s(rollout, fault)
    assert bound is not None
    told = [
        tool.n
        for w in rollout.windows
        if w.end_ms <= 1000 * bound + 5000
        for c in w.cells("canary")
        if (tool := c.tools.get("tool8"))
    ]
    assert sum(told[:-1]) <= np.log(20) / divergence(1.0, 0.075) <= sum(told)


def test_what_there_is_too_little_traffic_for_has_no_bound() -> None:
    assert bound_s(Rollout(stream(0.01, FAULTS["errors+1"], 3)), FAULTS["errors+1"]) is None


def test_bins_and_cells_fit_the_contract(healthy: Stream) -> None:
    keys = healthy.latency[0]
    assert keys.max() < WINDOWS * CELLS * BINS
    assert (np.diff(keys) > 0).all()
