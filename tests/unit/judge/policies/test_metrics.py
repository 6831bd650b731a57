"""Numbers of the servers' own: rates and means, higher or lower is worse, in points or parts."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from judge.policies.families.metrics import CAP_CALLS, LARGEST, MetricMean, claim_of
from judge.policies.families.port import LARGEST_SUM
from judge.policies.families.rates import Clusters
from judge.policies.port import Assessment, StageTimes
from judge.policies.sequential import Sequential
from judge.trial import Trial, TrialWindow
from schemas.checks import CustomCheck
from schemas.decisions import CheckResult
from schemas.labels import Label
from schemas.windows import COARSE_PER_FINE, MICRO, Cell, Metric, MetricBucket
from streams.histogram import edges
from tests.builders import ONLY_ERRORS, SEED
from tests.histograms import histogram_of
from tests.telemetry import batch, event
from tests.unit.judge.trials import ROLLOUT, T0, cell, trial, windows
from tests.unit.streams.test_windows import Log

STAGE_1 = StageTimes(1, (T0,), T0)
Values = NDArray[np.float64]


def made(**custom: Any) -> Trial:
    return trial(checks={**ONLY_ERRORS, "tokens": {"kind": "mean", **custom}})


def metric(values: Values, buckets: NDArray[np.int64]) -> Metric:
    """As streams count values, each in its session's bucket."""
    micro = np.rint(values * MICRO).astype(np.int64)
    inside = {int(b): buckets == b for b in np.unique(buckets)}
    coarse = {b: histogram_of(values[mine]) for b, mine in inside.items()}
    return Metric(
        n=len(values),
        micro=int(micro.sum()),
        buckets={b: MetricBucket(n=int(mine.sum()), micro=int(micro[mine].sum())) for b, mine in inside.items()},
        histogram=histogram_of(values),
        bucket_histograms={b: _coarse(found) for b, found in coarse.items()},
    )


def _coarse(fine: dict[int, int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for index, n in fine.items():
        found[index // 4] = found.get(index // 4, 0) + n
    return found


def sent(version: str, rng: np.random.Generator, values: Values, buckets: int = 64) -> Cell:
    return cell(version, len(values), metrics={"tokens": metric(values, rng.integers(0, buckets, len(values)))})


def tokens(rng: np.random.Generator, n: int, factor: float) -> Values:
    return factor * rng.lognormal(4, 1.0, n)


def misses(rng: np.random.Generator, n: int, rate: float) -> Values:
    return (rng.random(n) < rate).astype(np.float64)


Draw = Callable[[np.random.Generator, int, float], Values]


def rollout(
    of: Trial, draw: Draw, level: float, other: float, seconds: int = 60, buckets: int = 64
) -> list[TrialWindow]:
    """The baseline at `level`, the canary at `other`."""
    rng = np.random.default_rng(2)
    cells = [
        [sent("v1", rng, draw(rng, 200, level)), sent("v2", rng, draw(rng, 50, other), buckets)] for _ in range(seconds)
    ]
    return windows(of, cells)


def assess(of: Trial, final: Sequence[TrialWindow], still_open: Sequence[TrialWindow] = ()) -> Assessment:
    comparison = Sequential().begin(of)
    for window in final:
        comparison.add(window)
    return comparison.assess(still_open, STAGE_1)


def check(found: Assessment) -> CheckResult:
    return next(c for c in found.checks if c.check == "tokens")


MEAN = made(within="10%")
RATE = made(kind="rate", within="1pp")


def test_a_mean_that_is_a_third_higher_is_a_breach() -> None:
    got = assess(MEAN, rollout(MEAN, tokens, 1.0, 1.33))
    assert got.breached_by == "tokens"
    shown = check(got)
    assert (shown.kind, shown.ratio, shown.margin, shown.worse) == ("mean", 1.1, 0, "higher")
    assert shown.baseline.value is not None
    assert shown.canary.value is not None
    assert shown.canary.value / shown.baseline.value == pytest.approx(1.33, rel=0.05)
    assert shown.low is not None
    assert shown.low > 0
    assert shown.difference == pytest.approx(shown.canary.value - 1.1 * shown.baseline.value, rel=1e-3)


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.1])
def test_a_mean_within_its_limit_is_none(factor: float) -> None:
    got = assess(MEAN, rollout(MEAN, tokens, 1.0, factor))
    assert got.breached_by is None
    assert check(got).gate_margin is None


@pytest.mark.parametrize("unit", [1e-3, 1024.0])
def test_the_unit_of_a_mean_does_not_matter(unit: float) -> None:
    plain = check(assess(MEAN, rollout(MEAN, tokens, 1.0, 1.2, seconds=20)))
    other = check(assess(MEAN, rollout(MEAN, tokens, unit, unit * 1.2, seconds=20)))
    assert other.log_e_breach == pytest.approx(plain.log_e_breach, rel=0.05, abs=0.05)
    assert other.dispersion / unit == pytest.approx(plain.dispersion, rel=0.05)


def test_a_mean_takes_twenty_session_buckets() -> None:
    few = assess(MEAN, rollout(MEAN, tokens, 1.0, 3.0, buckets=19))
    assert few.breached_by is None
    assert check(few).why_undecided == "few_buckets"
    assert assess(MEAN, rollout(MEAN, tokens, 1.0, 3.0, buckets=20)).breached_by == "tokens"


def test_one_enormous_value_is_no_breach() -> None:
    final = rollout(MEAN, tokens, 1.0, 1.0)
    rng = np.random.default_rng(9)
    monster = windows(MEAN, [[sent("v2", rng, np.array([1e8])), sent("v1", rng, tokens(rng, 200, 1.0))]], first=61)
    before, after = check(assess(MEAN, final)), check(assess(MEAN, [*final, *monster]))
    assert after.canary.value is not None
    assert before.canary.value is not None
    assert after.canary.value < 1.05 * before.canary.value
    assert after.verdict == "undecided"


def test_a_mean_that_should_not_fall_is_watched_from_the_other_side() -> None:
    lower = made(worse="lower", within="10%")
    got = assess(lower, rollout(lower, tokens, 1.0, 0.7))
    assert got.breached_by == "tokens"
    shown = check(got)
    assert shown.ratio == pytest.approx(1 / 0.9)
    assert shown.canary.n == 50 * 59
    assert shown.baseline.n == 200 * 59
    assert assess(lower, rollout(lower, tokens, 1.0, 1.5)).breached_by is None
    assert assess(lower, rollout(lower, tokens, 1.0, 0.9)).breached_by is None


def test_a_rate_in_points_is_judged_like_any_rate() -> None:
    got = assess(RATE, rollout(RATE, misses, 0.1, 0.2))
    assert got.breached_by == "tokens"
    assert (check(got).margin, check(got).ratio) == (0.01, 1)
    assert check(got).canary.value == pytest.approx(0.2, abs=0.03)
    assert check(got).dispersion == pytest.approx(1, abs=0.8)
    assert assess(RATE, rollout(RATE, misses, 0.1, 0.11)).breached_by is None


@pytest.mark.parametrize(
    ("plan", "baseline", "canary", "by"),
    [
        ({"within": "10%"}, 0.3, 0.45, "tokens"),
        ({"within": "10%"}, 0.3, 0.32, None),
        ({"within": "10%", "worse": "lower"}, 0.5, 0.35, "tokens"),
        ({"within": "10%", "worse": "lower"}, 0.5, 0.47, None),
        ({"within": "10%", "worse": "lower"}, 0.35, 0.5, None),
    ],
)
def test_a_rate_in_parts_of_the_baselines_is_judged_in_both_directions(
    plan: dict[str, str], baseline: float, canary: float, by: str | None
) -> None:
    of = made(kind="rate", **plan)
    got = assess(of, rollout(of, misses, baseline, canary))
    assert got.breached_by == by
    assert check(got).baseline.value == pytest.approx(baseline, abs=0.03)
    assert check(got).canary.value == pytest.approx(canary, abs=0.03)


@pytest.mark.parametrize(("other", "by"), [(1.0, None), (1.6, "tokens")])
def test_what_servers_send_is_judged_as_streams_count_it(other: float, by: str | None) -> None:
    """Events of both cohorts through the fold of a partition's log, whose windows the policy reads."""
    log, rng, final, sequence = Log(), np.random.default_rng(3), [], 0
    for second in range(40):
        for version, n, factor in (("v1", 90, 1.0), ("v2", 30, other)):
            label = Label.make(SEED, ROLLOUT, 1, version, "session")
            values = tokens(rng, n, factor)
            said = [
                event(
                    sequence + i,
                    version=version,
                    assignment=f"{label};{version}",
                    session=f"{version}-{rng.integers(0, 500)}",
                    metrics={"tokens": value},
                )
                for i, value in enumerate(values.tolist())
            ]
            final += log.final((T0 + 100 * second, batch(said)))
            sequence += n
    final += log.final((T0 + 4000, None))
    got = assess(MEAN, [MEAN.window(w.window_end, w.window_ms, w.cells) for w in final])
    assert got.breached_by == by
    assert check(got).why_undecided != "no_data"
    assert check(got).canary.n == 30 * 37  # three windows hold the 200 values that say how large they are
    canary, baseline = check(got).canary.value, check(got).baseline.value
    assert canary is not None
    assert baseline is not None
    assert canary / baseline == pytest.approx(other, rel=0.15)


def test_open_windows_bring_a_rate_forward_and_no_mean() -> None:
    bad = rollout(RATE, misses, 0.1, 0.25, seconds=20)
    assert assess(RATE, bad[:1]).breached_by is None
    assert assess(RATE, bad[:1], bad[1:]).breached_by == "tokens"
    mean = rollout(MEAN, tokens, 1.0, 3.0)
    assert check(assess(MEAN, mean[:2], mean[2:])) == check(assess(MEAN, mean[:2]))


def test_a_rate_of_two_sessions_is_no_breach() -> None:
    assert assess(RATE, rollout(RATE, misses, 0.1, 0.9, buckets=2)).breached_by is None


def test_a_rate_that_should_not_fall_may_fall_to_nothing() -> None:
    hits = made(kind="rate", worse="lower", within="1pp")
    got = assess(hits, rollout(hits, misses, 0.5, 0.0))
    assert got.breached_by == "tokens"
    assert check(got).canary.value == 0
    assert assess(hits, rollout(hits, misses, 0.5, 0.0, buckets=2)).breached_by is None


def test_a_metric_that_nobody_sends_has_no_data() -> None:
    got = assess(MEAN, windows(MEAN, [[cell("v1", 50), cell("v2", 50)]] * 5))
    assert check(got).why_undecided == "no_data"
    assert got.breached_by is None


@pytest.mark.parametrize(
    ("plan", "margin", "ratio"),
    [
        ({"kind": "rate", "within": "1pp"}, 0.01, 1.0),
        ({"kind": "rate", "within": "10%"}, 0.0, 1.1),
        ({"kind": "mean", "within": "10%", "worse": "lower"}, 0.0, 1 / 0.9),
        ({"kind": "rate", "within": "2pp", "worse": "lower"}, 0.02, 1.0),
    ],
)
def test_limits_are_points_or_parts(plan: dict[str, Any], margin: float, ratio: float) -> None:
    claim = claim_of("x", CustomCheck.model_validate(plan))
    assert claim.margin == pytest.approx(margin)
    assert claim.ratio == pytest.approx(ratio)


def test_the_cap_is_taken_once_from_the_baselines_values_before_any_is_judged() -> None:
    family = next(f for f in Sequential().begin(MEAN).windows.families if f.claim.check == "tokens")
    assert isinstance(family, MetricMean)
    rng = np.random.default_rng(1)
    first, second, third = windows(
        MEAN,
        [
            [sent("v1", rng, np.full(CAP_CALLS, 100.0)), sent("v2", rng, np.full(9, 1e6))],
            [sent("v1", rng, np.full(50, 100.0)), sent("v2", rng, np.full(10, 1e6))],
            [sent("v1", rng, np.full(500, 1e6)), sent("v2", rng, np.full(10, 1e6))],
        ],
    )
    assert family.fold(first) == {}
    cap = family.cap
    assert cap is not None
    limit = float(edges()[4 * cap])
    assert 100 < limit <= 100 * (1 + 1 / 16)
    (row,) = family.fold(second).values()
    assert row[0, [0, 2]].tolist() == [10, 50]
    assert row[0, 3] / MICRO == pytest.approx(50 * 100, rel=1 / 128)
    assert row[0, 1] / MICRO == pytest.approx(10 * limit)
    family.fold(third)
    assert family.cap == cap


def test_sums_beyond_64_bits_stay_at_the_largest_and_are_said() -> None:
    clusters, window = Clusters(), np.full((64, 2), 2**56, np.int64)
    clusters.add("canary", window)
    assert not clusters.full()
    clusters.add("canary", window)
    assert clusters.full(), "no bucket is, and what they are together is"
    for _ in range(128):
        clusters.add("canary", window)
    assert clusters.sums["canary"].tolist() == [[LARGEST_SUM, LARGEST_SUM]] * 64
    assert clusters.full()
    assert clusters.dispersion().pooled >= 1.0


def enormous(version: str, micro: int, n: int) -> Cell:
    """So much in each of 64 session buckets, of `n` values; the histograms say 2,000 of the largest size."""
    fine = next(iter(histogram_of(np.array([LARGEST]))))
    buckets = {i: MetricBucket(n=n, micro=micro) for i in range(64)}
    bins, coarse = {fine: 64 * 2000}, {i: {fine // COARSE_PER_FINE: 2000} for i in range(64)}
    values = Metric(n=64 * n, micro=64 * micro, buckets=buckets, histogram=bins, bucket_histograms=coarse)
    return cell(version, 64, metrics={"tokens": values})


@pytest.mark.parametrize(("of", "n"), [(MEAN, 2000), (RATE, 10**11)], ids=["mean", "rate"])
def test_a_metric_whose_sums_are_beyond_64_bits_is_named_and_not_judged(of: Trial, n: int) -> None:
    micro = 2**63 // 64 // 5
    seconds = [[enormous("v1", micro, n), enormous("v2", micro, n)]] * 20
    before, after = (assess(of, windows(of, seconds[:n])) for n in (3, 20))
    assert (before.unjudged, after.unjudged) == ((), ("tokens",))
    assert after.breached_by is None
    assert check(after).verdict == "undecided"
    for counted in (check(after).canary, check(after).baseline):
        assert counted.bad == pytest.approx(LARGEST_SUM / MICRO)
    assert assess(of, windows(of, seconds[:19]), windows(of, seconds[19:], first=20)).unjudged == ("tokens",)


def test_values_of_a_rate_that_are_more_than_one_are_no_evidence_not_even_in_an_open_window() -> None:
    fair, percent = ({v: enormous(v, 10**10 * m, 20_000) for v in ("v1", "v2")} for m in (1, 50))
    good, beyond = ([cells["v1"], cells["v2"]] for cells in (fair, percent))
    ahead = assess(RATE, windows(RATE, [good] * 3), windows(RATE, [beyond], first=4))
    assert (ahead.unjudged, ahead.breached_by) == ((), None)
    assert check(ahead).canary.n == 3 * 64 * 20_000
    after = assess(RATE, windows(RATE, [good] * 3 + [beyond] + [good] * 3))
    assert (after.unjudged, after.breached_by) == (("tokens",), None)
    assert check(after).canary.n == 3 * 64 * 20_000
