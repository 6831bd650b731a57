"""`davylamp replay` and `davylamp record`: files in, text and an exit code out."""

import asyncio
import gzip
import hashlib
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli import record, replay
from cli.main import app
from cli.recorded_telemetry import messages_about
from cli.replaying import asked_plan, under
from davylamp_sdk._message import canonical_json
from judge.fold import LEDGER
from judge.recording import header_of, records_of
from judge.verify import Records
from tests.builders import plan
from tests.telemetry import batch, event
from tests.telemetry import record as sent
from tests.unit.judge.rollouts import CHECKS, Rollout, broken
from transport.log import Batch, Record
from transport.recording import Header, open_recording, write_recording
from transport.shelf import Shelf


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["replay", *arguments])


@pytest.fixture(scope="module")
def rollout() -> Rollout:
    return asyncio.run(broken())


@pytest.fixture
def header(rollout: Rollout) -> Header:
    return header_of(rollout.tapes, "orders", None)


def written(folder: Path, header: Header, records: Iterable[Record]) -> str:
    file = folder / "rollout.jsonl.gz"
    write_recording(file, header, records)
    return str(file)


@pytest.fixture
def file(rollout: Rollout, header: Header, tmp_path: Path) -> str:
    return written(tmp_path, header, records_of(rollout.tapes, header))


@pytest.fixture
def log(rollout: Rollout, monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(_: str, __: str, ___: Shelf) -> Records:
        return rollout.tapes

    for module in (record, replay):
        monkeypatch.setattr(module, "read_log", read)


def test_every_entry_of_a_recording_is_the_same_to_the_byte(file: str) -> None:
    got = run(file)
    assert got.exit_code == 0, got.output
    assert got.stdout.splitlines()[0] == "rollout 1 of orders, canary v2: decided by davylamp 0.1.0"
    assert got.stdout.splitlines()[-1] == "same 5 of 5, byte for byte"


def test_a_rollout_is_replayed_from_the_log_itself_as_from_its_recording(file: str, log: None) -> None:
    assert run("orders").stdout == run("orders/1").stdout == run(file).stdout


def test_a_live_log_is_read_to_its_end_and_replayed(
    rollout: Rollout, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def reader(_: Any, client: str, topics: Iterable[Any]) -> Any:
        asked.append(client)
        return rollout.log.reader(*topics)

    monkeypatch.setattr("transport.kafka_log.KafkaReader", reader)
    monkeypatch.setenv("DAVYLAMP_KAFKA_CONTROL_PARTITIONS", "1")
    got = run("orders/1")
    assert (got.exit_code, got.stdout, asked) == (0, run(file).stdout, ["davylamp-replay"])
    gone = run("orders/7")
    assert (gone.exit_code, gone.stdout) == (2, "")
    assert "rollout 7" in gone.stderr


def test_what_was_recorded_replays(log: None, tmp_path: Path) -> None:
    path = str(tmp_path / "r.gz")
    got = CliRunner().invoke(app, ["record", "orders/1", "-o", path])
    assert got.exit_code == 0, got.output
    assert got.stdout.startswith(f"{path}: rollout 1 of orders, ")
    assert run(path).exit_code == 0


def test_what_was_recorded_under_other_names_replays(log: None, tmp_path: Path) -> None:
    path = str(tmp_path / "r.gz")
    got = CliRunner().invoke(app, ["record", "orders/1", "-o", path, "--anonymize"])
    assert got.exit_code == 0, got.output
    assert "orders" not in got.stdout
    told = run(path).stdout
    assert told.splitlines()[0].endswith("anonymized")
    assert told.splitlines()[-1] == "same 5 of 5, byte for byte"
    assert "orders" not in told


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """For which telemetry was asked; one event and something else are in it."""
    asked: list[Any] = []

    async def read(*arguments: Any) -> AsyncIterator[Record]:
        asked.append(arguments)
        for one in (sent(3, 5000, event(1)), sent(4, 5000, b"{"), sent(5, 5000, batch([event(2), event(3)]))):
            yield one

    monkeypatch.setattr(record, "read_telemetry", read)
    return asked


A_BATCH = 100


class Counted(Record):
    """Counts how many of it there are at once."""

    alive = most = 0

    def __init__(self, *said: Any, **more: Any) -> None:
        super().__init__(*said, **more)
        Counted.alive += 1
        Counted.most = max(Counted.most, Counted.alive)

    def __del__(self) -> None:
        Counted.alive -= 1


class LongTopic:
    """A reader of a telemetry topic of three partitions, which come interleaved; the newest are after the rollout."""

    def __init__(self, *_: Any, since_ms: int | None = None) -> None:
        assert since_ms is not None
        self.since_ms = since_ms

    async def batches(self) -> AsyncIterator[Batch]:
        for first in range(0, 3000, A_BATCH):
            yield Batch(tuple(map(self.record, range(first, first + A_BATCH))), caught_up=first + A_BATCH == 3000)

    def record(self, number: int) -> Record:
        value = b"{" if number % 50 == 0 else event(number, service="stock" if number % 7 == 0 else "orders").dump()
        return Counted(*("mcp-requests", number * 5 % 3, number, self.since_ms + number, b"k", value))

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("anonymize", [False, True])
def test_what_a_busy_topic_holds_is_recorded_in_its_order_and_never_in_memory_at_once(
    log: None, header: Header, rollout: Rollout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, anonymize: bool
) -> None:
    monkeypatch.setattr("transport.kafka_log.KafkaReader", LongTopic)
    monkeypatch.setattr("transport.recording.Record", Counted)
    before = Counted.alive
    monkeypatch.setattr(Counted, "most", before)
    path, expected = tmp_path / "events.gz", tmp_path / "expected.gz"
    more = ["--anonymize"] if anonymize else []
    got = CliRunner().invoke(app, ["record", "orders/1", "-o", str(path), "--what", "events", *more])
    assert got.exit_code == 0, got.output
    assert Counted.most - before <= 2 * A_BATCH + 9
    assert list(tmp_path.iterdir()) == [path]
    topic = LongTopic(since_ms=rollout.tapes[LEDGER][0].timestamp_ms)
    whole = sorted(map(topic.record, range(3000)), key=lambda r: (r.partition, r.offset))
    mine = [r for r, _ in messages_about(whole, "orders")]
    write_recording(expected, header.model_copy(update={"what": "events"}), mine)
    if not anonymize:
        assert path.read_bytes() == expected.read_bytes()
    with path.open("rb") as raw:
        assert [(r.partition, r.offset) for r in open_recording(raw).records] == [(r.partition, r.offset) for r in mine]


class LongLog:
    """A reader of all that the judge reads, in small batches."""

    records: tuple[Record, ...] = ()
    at_once = 5

    def __init__(self, *_: Any) -> None:
        """Whatever is asked for."""

    async def batches(self) -> AsyncIterator[Batch]:
        for first in range(0, len(self.records), self.at_once):
            found = self.records[first : first + self.at_once]
            copied = (Counted(*(getattr(r, field) for field in Record.__slots__)) for r in found)
            yield Batch(tuple(copied), caught_up=first + self.at_once >= len(self.records))

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    "asked_for",
    [
        ["verify", "orders"],
        ["replay", "orders/1"],
        ["replay", "orders/1", "--until", "20s"],
        ["replay", "orders/1", "--policy", "threshold"],
        ["record", "orders/1"],
        ["record", "orders/1", "--anonymize"],
    ],
    ids=" ".join,
)
def test_what_the_judge_read_is_never_in_memory_at_once(
    asked_for: list[str], rollout: Rollout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LongLog, "records", tuple(r for records in rollout.tapes.values() for r in records))
    monkeypatch.setattr("transport.kafka_log.KafkaReader", LongLog)
    for module in ("recording", "shelf"):
        monkeypatch.setattr(f"transport.{module}.Record", Counted)
    before = Counted.alive
    monkeypatch.setattr(Counted, "most", before)
    file = ["-o", str(tmp_path / "r.gz")] if asked_for[0] == "record" else []
    got = CliRunner().invoke(app, [*asked_for, *file])
    assert got.exit_code == 0, got.output
    assert len(LongLog.records) == 60
    assert Counted.most - before <= 2 * LongLog.at_once + 9
    assert [path.name for path in tmp_path.iterdir()] == (["r.gz"] if file else [])


@pytest.mark.parametrize("anonymize", [False, True])
def test_what_servers_sent_is_recorded(
    log: None, asked: list[Any], rollout: Rollout, tmp_path: Path, *, anonymize: bool
) -> None:
    path = tmp_path / "events.gz"
    more = ["--anonymize"] if anonymize else []
    got = CliRunner().invoke(app, ["record", "orders/1", "-o", str(path), "--what", "events", *more])
    assert got.exit_code == 0, got.output
    assert asked == [("mcp-requests", rollout.tapes[LEDGER][0].timestamp_ms, None)]
    with path.open("rb") as raw:
        found = open_recording(raw)
        records = list(found.records)
    assert (found.header.what, found.header.anonymized) == ("events", anonymize)
    assert [r.offset for r in records] == [3, 5]
    assert ("orders" in gzip.decompress(path.read_bytes()).decode()) is not anonymize


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["orders/7", "-o", "r.gz"], 1, "orders has no rollout 7; the log holds 1"),
        (["orders/x", "-o", "r.gz"], 2, "'orders/x' names no rollout: write SERVICE or SERVICE/NUMBER"),
        (["orders", "-o", "r.gz", "--what", "dreams"], 2, "--what dreams: known are windows"),
        (["orders", "-o", "no/such/folder/r.gz"], 1, "No such file or directory"),
    ],
)
def test_what_cannot_be_recorded_is_told(log: None, arguments: list[str], code: int, words: str) -> None:
    got = CliRunner().invoke(app, ["record", *arguments])
    assert got.exit_code == code
    assert words in got.stderr


def test_a_lie_in_the_ledger_is_the_first_difference(rollout: Rollout, header: Header, tmp_path: Path) -> None:
    def bent(found: Record) -> Record:
        if found.topic != "cohort-windows":
            return found
        return replace(found, value=(found.value or b"").replace(b'"server_error":400', b'"server_error":1'))

    got = run(written(tmp_path, header, map(bent, records_of(rollout.tapes, header))))
    assert got.exit_code == 1
    assert "same 4 of 5, byte for byte" in got.stdout
    assert "first difference: the ledger says rollback (stage 2, 0%): Error rate" in got.stdout


def test_what_was_decided_by_other_code_is_replayed_by_this_one(
    rollout: Rollout, header: Header, tmp_path: Path
) -> None:
    got = run(written(tmp_path, header.model_copy(update={"davylamp": "0.0.1"}), records_of(rollout.tapes, header)))
    assert got.exit_code == 0
    assert "decided by davylamp 0.0.1, replayed by 0.1.0" in got.stdout


def test_a_field_that_a_later_version_adds_to_plans_makes_no_difference(
    rollout: Rollout, header: Header, tmp_path: Path
) -> None:
    def older(found: Record) -> Record:
        return replace(found, value=(found.value or b"").replace(b'"stale_after":"1m",', b""))

    (start, *_) = rollout.chain.entries
    as_written = json.loads(older(Record("", 0, 0, 0, None, start.dump())).value or b"")
    del as_written["id"]
    id_ = hashlib.blake2b(canonical_json(as_written), digest_size=16).hexdigest()

    def renamed(found: Record) -> Record:
        return replace(found, value=(older(found).value or b"").replace(start.id.encode(), id_.encode()))

    got = run(written(tmp_path, header, map(renamed, records_of(rollout.tapes, header))), "--until", "1s")
    assert got.exit_code == 0, got.stdout
    assert "same 1 of 1, byte for byte but for what was added to the contract since, in 1 of them" in got.stdout


def test_a_what_if_prints_entries_the_divergence_with_its_reason_and_what_cannot_be_known(file: str) -> None:
    got = run(file, "--policy", "threshold")
    assert got.exit_code == 0, got.output
    lines = got.stdout.splitlines()
    assert lines[1].startswith("what if it had been judged by policy threshold, plan ")
    assert lines[3] == "     +0.0 s  start       20%  same"
    assert lines[7] == "    +77.0 s  –                DIFFERS"
    assert lines[8].strip() == "replay:    nothing is decided. 0 s of 10 s collected."
    assert lines[9].strip().startswith("recording: rollback (stage 2, 0%): Error rate")
    assert "same 4 of 5, until +77.0 s" in got.stdout
    assert "not known: No new session met the canary after this" in got.stdout


def test_a_plan_of_a_what_if_need_not_name_service_and_canary(file: str, tmp_path: Path) -> None:
    written_plan = tmp_path / "plan.yaml"
    stages = "stages: [{share: 20%, for: 10s, min_sessions: 5}, {share: 50%, for: 10s, min_sessions: 5}]"
    written_plan.write_text(f"{stages}\nchecks: {{error_rate: {{within: 5pp}}}}\n")
    assert run(file, "--plan", str(written_plan)).exit_code == 0
    written_plan.write_text(f"service: stock\n{stages}\n")
    got = run(file, "--plan", str(written_plan))
    assert got.exit_code == 2
    assert "the recording's service is orders, the plan says stock: leave it out" in got.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stages: [{share: 20%, for: 10s}, {share: 60%, for: 10s}]", "nothing is known of 20%, 60%: keep the shares"),
        (
            "checks: {error_rate: {within: -1pp}}",
            "the plan of the what-if is refused: checks.error_rate.within: '-1pp'",
        ),
        ("alpha: 0.7", "alpha: input should be less than 0.5, not 0.7"),
        ("checks: {eror_rate: {within: 1pp}}", "checks.eror_rate: is not known here; did you mean error_rate?"),
        ("weights: {error_rate: 3}", "weights: is not known here"),
        ("policy: {name: kayenta, failed_checks: 3}", "policy.failed_checks: belongs to policy threshold"),
        ("- 3", "the plan of the what-if is no mapping"),
    ],
)
def test_a_plan_that_cannot_be_asked_about_is_refused_with_path_and_reason(
    file: str, tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    got = run(file, "--plan", str(path))
    assert got.exit_code == 2
    assert words in got.stderr


def test_an_unknown_policy_is_refused_with_those_that_are_known(file: str) -> None:
    got = run(file, "--policy", "kayente")
    assert got.exit_code == 2
    assert "policy.name: input should be 'sequential', 'kayenta' or 'threshold', not 'kayente'" in got.stderr


def test_what_a_policy_cannot_compare_is_switched_off_and_named(rollout: Rollout, header: Header) -> None:
    checks = {**CHECKS, "session_loss": {"within": "20%"}, "availability": {"within": "1pp"}}
    asked = asked_plan(header.model_copy(update={"plan": plan(checks=checks, alpha=0.1)}), None, "kayenta")
    assert asked is not None
    assert asked.checks.enabled == ("error_rate",)
    told = under(asked, header.model_copy(update={"plan": plan(checks=checks)}), rollout.tapes, None)
    assert "kayenta does not compare session_loss, availability" in told


def test_until_a_moment_it_is_shown_where_the_rollout_stood(file: str) -> None:
    got = run(file, "--until", "70s")
    assert got.exit_code == 0
    assert "same 2 of 2, byte for byte" in got.stdout
    assert "at +70.0 s:\n‖ orders held  v1 → v2" in got.stdout
    assert run(file, "--until", "2023-11-14T22:13:20+00:00").exit_code == 0


def test_a_moment_before_the_rollout_began_is_refused(file: str) -> None:
    got = run(file, "--until", "0001-01-01T00:00:00+00:00")
    assert (got.exit_code, got.stdout) == (2, "")
    assert "the rollout began later, at 2023-11-14T22:13:20" in got.stderr


@pytest.mark.parametrize("content", [None, b"\x00\xff"])
def test_a_plan_that_cannot_be_read_is_wrong_usage(file: str, content: bytes | None, tmp_path: Path) -> None:
    other = tmp_path / "plan.yaml"
    if content is not None:
        other.write_bytes(content)
    got = run(file, "--plan", str(other))
    assert (got.exit_code, got.stdout) == (2, "")
    assert "plan.yaml" in got.stderr


@pytest.mark.parametrize("until", ["soon", "2023-11-14T22:13:20", "12"])
def test_a_moment_that_is_none_is_refused(file: str, until: str) -> None:
    got = run(file, "--until", until)
    assert got.exit_code == 2
    assert "write a duration after the start like 90s" in got.stderr


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda raw: raw[: len(raw) // 2], "it was cut off; copy it again"),
        (lambda raw: b"no gzip", "line 1: the file is not compressed by gzip"),
        (
            lambda raw: gzip.compress(gzip.decompress(raw).replace(b'"v":1,"what"', b'"v":2,"what"', 1)),
            "line 1: format 2 was written by davylamp 0.1.0, and this one reads up to 1: upgrade davylamp",
        ),
        (
            lambda raw: gzip.compress(gzip.decompress(raw).replace(b'"what":"windows"', b'"what":"events"', 1)),
            "holds events",
        ),
    ],
)
def test_a_file_that_is_no_whole_recording_is_wrong_usage(file: str, damage: Any, words: str) -> None:
    Path(file).write_bytes(damage(Path(file).read_bytes()))
    got = run(file)
    assert (got.exit_code, got.stdout) == (2, "")
    assert words in got.stderr


def test_a_file_that_is_not_there_is_told_from_a_rollout() -> None:
    got = run("recordings/none.jsonl.gz")
    assert got.exit_code == 2
    assert "there is no such file" in got.stderr


def test_a_recording_reads_back_what_it_was_made_of(file: str, header: Header) -> None:
    with Path(file).open("rb") as content:
        found = open_recording(content)
        assert found.header == header
        assert {record.topic for record in found.records} >= {LEDGER, "cohort-windows", "route-changes"}
