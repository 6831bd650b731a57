"""The benchmark measures what it says, on a small scale: no figure is looked at here."""

import asyncio

from bench.sdk import Quantiles, measure, report
from davylamp_sdk import Stats


def test_every_request_is_served_each_way_and_delivered() -> None:
    found, stats = asyncio.run(measure(20))
    assert set(found) == {"bare", "emit", "middleware", "span"}
    assert stats.recorded == stats.delivered > 20
    assert all(0 < quantiles.p50 <= quantiles.p99 for quantiles in found.values())


def test_the_report_tells_what_lies_beyond_the_bare_request_and_as_a_ratio() -> None:
    found = {
        "bare": Quantiles(1.0, 2.0),
        "emit": Quantiles(2.0, 3.0),
        "middleware": Quantiles(6.0, 11.0),
        "span": Quantiles(11.0, 21.0),
    }
    lines = report(found, Stats(recorded=10, sent=10, delivered=9, dropped=0, failed=1), 10).splitlines()
    assert "| emit (hand a finished request to the SDK's thread) | 1.0 | 2.0 | 0.10 |" in lines
    assert "| `Telemetry`, all of its work around a request | 5.0 | 10.0 | 0.50 |" in lines
    assert "| OpenTelemetry SDK, one span with eight attributes | 10.0 | 20.0 | 1.00 |" in lines
    assert lines[-1] == "Of 10 requests 9 were delivered, 0 dropped, 1 failed."


def test_quantiles_are_of_the_ordered_times_in_microseconds() -> None:
    assert Quantiles.of([1_000 * n for n in range(100, 0, -1)]) == Quantiles(p50=51.0, p99=100.0)
