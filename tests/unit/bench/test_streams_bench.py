"""What the streams' benchmark measures is what it says: the same requests in every form, and ratios of what was seen."""

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from bench.streams import profile, shared
from bench.streams.__main__ import kept, read_back, table
from bench.streams.contenders import OURS, PLAIN, RAW, Contender, Ground
from bench.streams.measure import Run, run
from bench.streams.traffic import FORMS, Form, cohort_of, messages, truth
from schemas.outcomes import LATENCY_COUNTED
from schemas.windows import CohortWindow
from streams.batches import Batch
from streams.cells import Told
from streams.decoding import decode
from streams.publisher import Publisher
from tests.telemetry import read, record
from transport.settings import KafkaSettings


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_every_form_is_read_and_its_sequences_count_on(form: Form) -> None:
    some = list(islice(messages(form), 3))
    rounds = list(islice(messages(replace(form, events=200_000)), 0, None, 100_000 // form.a_message))
    first, again = (read(record(0, 1, sent.value))[0][0] for sent in rounds)
    assert (first.producer, first.sequence, again.sequence) == (again.producer, 0, 100_000)
    assert all(
        sent.key == cohort_of(sent.value) == read(record(0, 1, sent.value))[0][0].version.encode() for sent in some
    )
    assert all(isinstance(decode(record(0, 1, sent.value)), Batch) == (form.a_message > 1) for sent in some)


def test_services_that_share_a_topic_are_told_beside_one_alone() -> None:
    text = shared.table({"singles": [200_000.0, 190_000.0, 100_000.0]}, 3)
    assert "| | one service | 2 services | 20 services |" in text
    assert "| singles | 200,000 | 190,000 (0.95 ×) | 100,000 (0.50 ×) |" in text


def test_the_truth_is_that_of_the_single_events() -> None:
    said = [sent.value for sent in messages(replace(FORMS[2], events=100_000))]
    counted = {version: sum(b'"version":"%s"' % version.encode() in one for one in said) for version in ("v1", "v2")}
    assert counted == {cohort: n for cohort, (n, _) in truth(replace(FORMS[2], events=100_000)).items()}


def test_the_truth_is_that_of_the_messages() -> None:
    form = Form("a hundred thousand in thousands", 1000, 100_000)
    said = [json.loads(sent.value) for sent in messages(form)]
    counted = {version: sum(len(b["outcome"]) for b in said if b["version"] == version) for version in ("v1", "v2")}
    assert counted == {cohort: n for cohort, (n, _) in truth(form).items()}
    latencies = sorted(
        ms
        for b in said
        if b["version"] == "v1"
        for ms, outcome in zip(b["duration_ms"], b["outcome"], strict=True)
        if b["names"][outcome] in LATENCY_COUNTED
    )
    assert truth(form)["v1"][1] == pytest.approx(latencies[round(0.99 * (len(latencies) - 1))], rel=1e-3)


def test_the_table_says_shares_of_the_raw_limit_and_who_is_ahead_by_how_much() -> None:
    runs = {
        OURS: [Run(1000, 2.0, 4.0, 90.0)],
        RAW: [Run(1000, 0.5, 1.0, 40.0)],
        PLAIN: [Run(1000, 1.0, 2.0, 50.0)],
    }
    text = table({FORMS[0]: runs}, {"Kafka Streams": "there is no javac here"}, 1)
    assert f"| {OURS} | 500 | 25.0 % | 1.00 | 250 | 90 MB |" in text
    assert f"| {PLAIN} | 1,000 | 50.0 % | 0.50 | 500 | 50 MB |" in text
    assert "Left out: Kafka Streams: there is no javac here." in text


def test_what_was_measured_in_pieces_is_told_together(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    for cpu_s in (2.0, 1.0):
        kept(file, {FORMS[1]: {OURS: [Run(1000, cpu_s, 4.0, 90.0)]}}, {"Kafka Streams": "no javac"})
    found, left_out = read_back(file)
    assert found[FORMS[1]] == {OURS: [Run(1000, 2.0, 4.0, 90.0), Run(1000, 1.0, 4.0, 90.0)]}
    assert left_out == {"Kafka Streams": "no javac"}


def test_who_did_not_count_to_the_end_is_named_until_it_has(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    kept(file, {FORMS[2]: {OURS: [Run(1000, 1.0, 4.0, 90.0)]}}, {f"singles: {PLAIN}": "not done within 100 s"})
    found, left_out = read_back(file)
    assert f"Left out: singles: {PLAIN}: not done within 100 s." in table(found, left_out, 1)
    kept(file, {FORMS[2]: {PLAIN: [Run(1000, 1.0, 4.0, 90.0)]}}, {})
    assert read_back(file)[1] == {}


def measured(tmp_path: Path, says: str, events: int | None = None) -> Run:
    """A process that prints something, and waits unless it is to end."""
    ground = Ground(KafkaSettings(bootstrap="nowhere:1"), "topic", replace(FORMS[2], events=200_000), tmp_path)
    command = (
        sys.executable,
        "-c",
        f"import time; print({says!r}, end='', flush=True); time.sleep({events is not None} * 99)",
    )
    return run(Contender("somebody", command, {}, events=events), ground)


def test_who_counts_only_the_first_is_asked_for_those(tmp_path: Path) -> None:
    told = truth(replace(FORMS[2], events=100_000))
    lines = [{"events": 0}, {"events": 50_000}, {"events": 100_000}, {"told": told}]
    made = measured(tmp_path, "".join(json.dumps(line) + "\n" for line in lines), 100_000)
    assert made.events == 50_000  # from the first word behind the first fifth


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ('{"events": 7}\n{"eve', "ended with 0, after 7 events"),
        ('{"told": {"v1": [1, 2.0]}}\n', "somebody says"),
    ],
    ids=["cut", "wrong"],
)
def test_who_ends_too_early_or_counts_wrong_is_told(tmp_path: Path, says: str, why: str) -> None:
    with pytest.raises(RuntimeError, match=why):
        measured(tmp_path, says)


def test_the_profile_polls_as_the_consumer_does_and_counts_every_event(monkeypatch: pytest.MonkeyPatch) -> None:
    form = Form("batches of 500", 500, 100_000)
    polled = profile.polls(form)
    assert [len(records) for records in polled[:-1]] == [len(polled[0])] * (len(polled) - 1)
    assert sum(map(len, polled)) == 200
    counted: list[CohortWindow] = []
    monkeypatch.setattr(Publisher, "partials", lambda _, partials: noted(counted, partials))
    profile.ours(polled[:3])
    assert max(sum(n for c in w.cells for n in c.outcomes.values()) for w in counted) == 500 * len(polled[0])


async def noted(counted: list[CohortWindow], partials: Iterable[Told]) -> None:
    counted += map(CohortWindow.model_validate, partials)
