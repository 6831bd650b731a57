"""Numbers as people read them."""

import pytest

from status.page import figures

NB, THIN = "\u00a0", "\u202f"


@pytest.mark.parametrize(
    ("part", "text"),
    [(0.02118, "+2.12"), (-0.0277, "−2.77"), (0.00001, "±0.00"), (-0.00001, "±0.00"), (0.1075, "+10.75")],
)
def test_differences_carry_a_true_sign(part: float, text: str) -> None:
    assert figures.signed(part) == text
    assert figures.points(part) == f"{text}{NB}points"


def test_rates_have_two_decimals_and_ratios_three() -> None:
    assert figures.percent(0.02706) == f"2.71{NB}%"
    assert figures.ratio(1.0352) == f"×{NB}1.035"


@pytest.mark.parametrize(("factor", "text"), [(1.1, "1.10"), (1.5, "1.50"), (1.125, "1.125"), (1 / 1.1, "0.909")])
def test_a_limit_has_no_more_digits_than_it_needs(factor: float, text: str) -> None:
    assert figures.limit_ratio(factor) == f"×{NB}{text}"


@pytest.mark.parametrize(("n", "text"), [(2180, f"2{THIN}180"), (59, "59"), (1234567, f"1{THIN}234{THIN}567")])
def test_thousands_are_parted_by_a_thin_space(n: int, text: str) -> None:
    assert figures.count(n) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(1000, "10"), (100, "1"), (1250, "12.5"), (10000, "100"), (0, "0"), (990.4, "9.9"), (1000.0, "10.0")],
)
def test_an_asked_share_is_exact_and_an_observed_one_has_a_decimal(share: float, text: str) -> None:
    assert figures.share(share) == f"{text}{NB}%"


@pytest.mark.parametrize(
    ("ms", "text"), [(1420.0, f"1.42{NB}s"), (212.4, f"212{NB}ms"), (12.34, f"12.3{NB}ms"), (0.5, f"0.50{NB}ms")]
)
def test_latencies_have_three_digits(ms: float, text: str) -> None:
    assert figures.milliseconds(ms) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, f"0{NB}s"),
        (23, f"23{NB}s"),
        (60, f"1{NB}min"),
        (251, f"4{NB}min 11{NB}s"),
        (6060, f"1{NB}h 41{NB}min"),
        (180_000, f"2{NB}d 2{NB}h"),
        (-5, f"0{NB}s"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert figures.duration(seconds) == text


def test_short_times_keep_a_decimal() -> None:
    assert figures.brief(0.42) == f"0.4{NB}s"
    assert figures.brief(0.0152) == f"15{NB}ms"
    assert figures.brief(75) == f"1{NB}min 15{NB}s"


def test_a_time_of_another_day_carries_its_date() -> None:
    at = 1_795_488_789_000
    assert figures.clock(at, at + 3_600_000) == "02:53:09"
    assert figures.clock(at, at + 86_400_000) == "2026-11-24 02:53:09"
    assert figures.iso(at) == "2026-11-24T02:53:09Z"


def test_means_have_three_digits_or_whole_thousands() -> None:
    assert figures.mean(1184.2) == f"1{THIN}184"
    assert figures.mean(12.345) == "12.3"
