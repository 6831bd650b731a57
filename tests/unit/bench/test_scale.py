"""The page about scale is a calculation over what other commands measured."""

from pathlib import Path

import pytest

from bench.scale import cpu_a_million, forms, judge_work, number, section, ten_million, write

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

## A worker after kill -9

| | seconds, in order | median | longest |
|---|---|---|---|
| by the clock | 0.82, 0.78 | 0.84 | 0.96 |
| CPU of the new process | 0.78, 0.74 | 0.80 | 0.90 |

## A look of the judge

| after | windows | look: no news | look: an open window grew | look: a window closed | to fold what closed | to tell people |
|---|---|---|---|---|---|---|
| 10 min | 120 | 0.09 / 0.19 | 0.64 / 1.14 | 0.47 / 0.93 | 1.60 / 2.88 | 0.78 / 1.39 |
| 23 h | 16560 | 0.09 / 0.16 | 0.61 / 1.09 | 0.55 / 0.72 | 2.00 / 2.23 | 0.84 / 1.00 |

## Fifty rollouts at once

| answer (target < 200 ms) | p50 | p99 | longest of |
|---|---|---|---|
| the page's list, HTML | 15 ms | 150 ms | 102: 165 ms |

| process | CPU, of one core | memory |
|---|---|---|
| streams | 42 % | 93 MB |
| judge | 46 % | 131 MB |

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
    assert "| open windows a second of it, at most | 640 | 960 |" in text
    assert "| the same while requests fail, as of so many some always do | 1,280 | 1,920 |" in text


def test_what_the_judge_has_to_do_follows_from_it_too() -> None:
    text = judge_work(MEASURED)
    assert "0.47 to 0.64 ms of CPU in the median (1.14 ms at p99)" in text
    assert "1.6 to 2.0 ms, after 23 h as after 10 min" in text
    assert "46 % of a core, with 42 % of one for streams" in text
    assert (
        "96 partitions on which a service is heard close 96 windows in 5 s: 19 a second at 1.0 ms each, 1.9 % of a core"
        in text
    )
    assert "1,920 partials a second of **one** service" in text
    assert "64 services 122,880" in text
    assert "become\n  192," in text


def test_its_sections_are_written_and_the_rest_of_the_page_stays(tmp_path: Path) -> None:
    performance, scale = tmp_path / "performance.md", tmp_path / "scale.md"
    performance.write_text(MEASURED)
    scale.write_text("# Scale\n\n## What one worker does\n\nof yesterday\n\n## What limits what\n\nkept\n")
    write(performance, scale)
    told = scale.read_text()
    assert "of yesterday" not in told
    assert "## What limits what\n\nkept" in told
    assert "105 MB after 10 minutes at 50,000 events a second" in told
    assert "| 500 | 2.50 | 2.60 | 3.00 |" in told
    assert "a new event 0.84 s later in the median, 0.96 s at the longest" in told
    assert "## What the judge has to do\n\n`python -m bench.scale`" in told


def test_what_is_missing_is_said() -> None:
    with pytest.raises(KeyError, match="has no section Nothing"):
        section(MEASURED, "Nothing")
    with pytest.raises(ValueError, match="no number"):
        number("–")
