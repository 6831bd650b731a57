"""The page about scale is a calculation over what other commands measured."""

from pathlib import Path

import pytest

from bench.scale import cpu_a_million, forms, number, section, ten_million, write

MEASURED = """# Performance

## Streams beside other stream processors

`python -m bench.streams --write`

Words: with a colon.

Batches of 500: 3,000,000 events, 91 bytes an event

| | events a CPU-second | of raw consume |
|---|---|---|
| davylamp, as shipped | 400,000 | 3.7 % |
| raw consume | 9,000,000 | 100 % |

Batches of 100: 1,500,000 events, 98 bytes an event

| | events a CPU-second | of raw consume |
|---|---|---|
| davylamp, as shipped | 250,000 | 3.7 % |

Singles: 300,000 events, 462 bytes an event

| | events a CPU-second | of raw consume |
|---|---|---|
| davylamp, as shipped | 40,000 | 3.7 % |

## Memory over a long run

| at | resident memory | CPU, of one core | sent | counted in final windows |
|---|---|---|---|---|
| 0 s | 80.0 MB | – | 0 | 0 |
| 600 s | 105.4 MB | 40 % | 30,000,000 | 30,000,000 |

## A thousand services on one topic

| events a second | windows published a second | CPU, of one core | peak memory | heard, p50 | p99 |
|---|---|---|---|---|---|
| 2,000 | 1,200 | 55 % | 210 MB | 420 ms | 900 ms |

## One, two and four workers

| events a message | workers | CPU-seconds a million events, all workers | events a second | peak memory |
|---|---|---|---|---|
| 500 | 1 | 2.50 | 100,000 | 90 MB |
| 500 | 2 | 2.60 | 100,000 | 90 MB |
| 500 | 4 | 3.00 | 100,000 | 90 MB |
| 100 | 1 | 4.00 | 100,000 | 90 MB |
| 100 | 2 | 4.10 | 100,000 | 90 MB |
| 100 | 4 | 4.20 | 100,000 | 90 MB |
"""


def test_what_was_measured_is_read_from_the_page() -> None:
    assert [(f.name, f.events_a_cpu_s, f.bytes_an_event) for f in forms(MEASURED)] == [
        ("Batches of 500", 400_000, 91),
        ("Batches of 100", 250_000, 98),
        ("Singles", 40_000, 462),
    ]
    assert cpu_a_million(MEASURED)[500] == {1: 2.5, 2: 2.6, 4: 3.0}


def test_the_calculation_follows_from_it() -> None:
    text = ten_million(MEASURED)
    assert "| CPU of streams | 30 cores | 42 cores |" in text
    assert "| workers at 60 % load | 50 | 70 |" in text
    assert "| partitions of the telemetry | 64 | 96 |" in text
    assert "| brokers | 28 | 30 |" in text
    assert "| messages a second | 20,000 | 100,000 |" in text
    assert "would be 250 cores" in text


def test_both_sections_are_written_and_the_rest_of_the_page_stays(tmp_path: Path) -> None:
    performance, scale = tmp_path / "performance.md", tmp_path / "scale.md"
    performance.write_text(MEASURED)
    scale.write_text("# Scale\n\n## What one worker does\n\nold\n\n## What limits what\n\nkept\n")
    write(performance, scale)
    told = scale.read_text()
    assert "old" not in told
    assert "## What limits what\n\nkept" in told
    assert "105 MB after 10 minutes at 50,000 events a second" in told
    assert "| 500 | 2.50 | 2.60 | 3.00 |" in told


def test_what_is_missing_is_said() -> None:
    with pytest.raises(KeyError, match="has no section Nothing"):
        section(MEASURED, "Nothing")
    with pytest.raises(ValueError, match="no number"):
        number("–")
