"""Dead letters on the command line: what is shown is safe, and what is sent again is sent once."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from cli.dead_letters import (
    DEAD_LETTERS,
    DeadLetter,
    Posting,
    Wanted,
    letters,
    render,
    render_line,
    repaired,
    replay,
    replay_all,
    replayed,
    safe,
    why_not,
)
from cli.main import app
from schemas.topics import REPLAYED
from streams.decoding import BadEvent, decode
from streams.letters import DEAD_LETTER_BYTES, NOT_OTLP, dead_letter
from streams.outbox import MemoryOutbox
from streams.publisher import Publisher
from tests.telemetry import TOPIC, event, record
from transport.log import Batch, Position, Record
from transport.memory_log import MemoryLog

BAD = {3: b"{", 4: b'{"v": 2}', 5: b"\x1b[31mred\xff\\"}


class MemorySender:
    """A :class:`cli.dead_letters.Sender` into a log in memory."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log

    async def put_all(self, *postings: Posting) -> list[Position]:
        return [await self.log.put(p.topic, p.partition, p.value, p.key, p.headers) for p in postings]


async def log_with(*more: bytes) -> MemoryLog:
    """What streams write of messages that they cannot read."""
    outbox, log = MemoryOutbox(), MemoryLog()
    publisher = Publisher(outbox, 1)
    for offset, value in [*BAD.items(), *enumerate(more, 6)]:
        message = record(offset, 1000, value)
        bad = decode(message)
        assert isinstance(bad, BadEvent)
        await publisher.dead_letter(message, bad)
    for sent in outbox.records:
        await log.put(sent.topic, 0, sent.value, sent.key, sent.headers)
    return log


async def found(log: MemoryLog, wanted: Wanted = Wanted()) -> list[DeadLetter]:  # noqa: B008 - frozen
    return [letter async for letter in letters(log.reader(DEAD_LETTERS), wanted)]


async def test_a_dead_letter_says_where_it_came_from_and_why() -> None:
    first, *_ = await found(await log_with())
    assert (first.id, first.topic, first.partition, first.offset) == ("0@0", TOPIC, 0, 3)
    assert first.reason.startswith("not_json")
    assert "mcp-requests-0@3  not_json" in render_line(first)


@pytest.mark.parametrize(
    ("wanted", "offsets"),
    [
        (Wanted(), [3, 4, 5]),
        (Wanted(reason="unknown_version"), [4]),
        (Wanted(frozenset({"0@0", "0@2"})), [3, 5]),
        (Wanted(frozenset({"0@0"}), reason="unknown_version"), []),
        (Wanted(topic="mcp-requests.orders"), []),
    ],
)
async def test_they_are_chosen_by_id_reason_and_topic(wanted: Wanted, offsets: list[int]) -> None:
    assert [letter.offset for letter in await found(await log_with(), wanted)] == offsets


async def test_bytes_from_anybody_reach_no_terminal_as_they_are() -> None:
    *_, colourful = await found(await log_with())
    shown = render(colourful)
    assert r"\x1b[31mred\xff\\" in shown
    assert all(c == "\n" or " " <= c <= "~" for c in shown)


def test_what_is_long_is_cut_when_it_is_shown() -> None:
    assert safe(b"x" * 20, 5) == "xxxxx… (20 bytes)"


async def test_a_letter_is_sent_to_the_partition_it_came_from_and_never_twice() -> None:
    log = await log_with()
    _, letter, _ = await found(log)
    await replay(MemorySender(log), letter)
    (sent,) = log.records(TOPIC)
    assert (sent.partition, sent.key, sent.value, sent.headers) == (
        0,
        b"orders-1/1",
        BAD[4],
        {REPLAYED: b"mcp-requests-0@4"},
    )
    by_note, by_itself = await replayed(log.reader(DEAD_LETTERS)), await replayed(log.reader("mcp-requests"))
    assert by_note == by_itself == {"mcp-requests-0@4"}
    assert why_not(letter, by_note) == "was sent again before"
    assert len(await found(log)) == 3  # a note is no letter


async def test_a_message_that_was_kept_twice_is_one_letter_and_is_sent_again_once() -> None:
    log = await log_with()
    for copy in log.records(DEAD_LETTERS)[:2]:  # of a worker that was killed before its commit
        await log.put(DEAD_LETTERS, 0, copy.value, copy.key, copy.headers)
    assert [letter.id for letter in await found(log)] == ["0@0", "0@1", "0@2"]
    (again,) = await found(log, Wanted(frozenset({"0@3"})))
    assert again.offset == 3
    await replay(MemorySender(log), repaired(again, event(1).dump()))
    first, *_ = await found(log)
    assert why_not(first, await replayed(log.reader(DEAD_LETTERS))) == "was sent again before"


class Busy(MemorySender):
    """A sender into a log that streams read: what they cannot read is a letter before the next is sent."""

    async def put_all(self, *postings: Posting) -> list[Position]:
        placed = await super().put_all(*postings)
        outbox, message = MemoryOutbox(), self.log.records(TOPIC)[-1]
        bad = decode(message)
        assert isinstance(bad, BadEvent)
        await Publisher(outbox, 1).dead_letter(message, bad)
        (letter,) = outbox.records
        await self.log.put(letter.topic, 0, letter.value, letter.key, letter.headers)
        return placed


class Late:
    """Ends where the topic ended, but for what came while the last batch was asked for, as a reader of Kafka may."""

    def __init__(self, log: MemoryLog) -> None:
        self.log, self.end = log, log.end(DEAD_LETTERS)

    async def batches(self) -> AsyncIterator[Batch]:
        yield Batch(tuple(self.log.records(DEAD_LETTERS)[: self.end - 1]), caught_up=False)
        yield Batch(tuple(self.log.records(DEAD_LETTERS)[self.end - 1 :]), caught_up=True)

    async def close(self) -> None: ...


async def asked_to_replay(log: MemoryLog, wanted: Wanted) -> list[str]:
    """Ids of what `dlq replay` sends."""
    done = await replayed(log.reader(DEAD_LETTERS))
    asked = replay_all(letters(Late(log), wanted), done, Busy(log), by_id=bool(wanted.ids))
    return [letter.id async for letter, became in asked if isinstance(became, Position)]


async def test_what_could_not_be_read_either_is_sent_neither_by_the_same_command_nor_by_the_next() -> None:
    log = await log_with(b'{"v": 3}')
    # the topic: not_json, unknown_version, not_json, unknown_version
    assert await asked_to_replay(log, Wanted(reason="unknown_version")) == ["0@1", "0@3"]
    for _ in range(3):
        assert await asked_to_replay(log, Wanted(reason="unknown_version")) == []
    assert len(log.records(TOPIC)) == 2


async def test_what_could_not_be_read_either_is_sent_once_more_by_its_id() -> None:
    log = await log_with()
    assert await asked_to_replay(log, Wanted(frozenset({"0@2"}))) == ["0@2"]
    again = (await found(log))[-1]
    assert (again.replayed_from, again.value) == ("mcp-requests-0@5", BAD[5])
    assert "sent from mcp-requests-0@5" in render(again)
    assert "name its id" in (why_not(again, {"mcp-requests-0@5"}) or "")
    assert await asked_to_replay(log, Wanted(frozenset({"0@2"}))) == []
    assert await asked_to_replay(log, Wanted(frozenset({again.id}))) == [again.id]
    assert await asked_to_replay(log, Wanted(frozenset({again.id}))) == []


async def test_a_stranger_who_says_that_a_message_was_sent_again_keeps_nobody_elses_from_it() -> None:
    log = await log_with()
    outbox, forged = (
        MemoryOutbox(),
        replace(record(9, 1000, b"{"), headers={REPLAYED: b"mcp-requests-0@3" + b"x" * 999}),
    )
    await Publisher(outbox, 1).dead_letter(forged, BadEvent("not_json"))
    (letter,) = outbox.records
    assert len(letter.headers[REPLAYED]) == 300
    await log.put(DEAD_LETTERS, 0, b"{", b"k", {**letter.headers, REPLAYED: b"mcp-requests-0@3"})
    assert await replayed(log.reader(DEAD_LETTERS)) == frozenset()
    assert (await found(log))[0].origin == "mcp-requests-0@3"
    assert await asked_to_replay(log, Wanted(reason="not_json")) == ["0@0", "0@2"]


async def test_a_letter_that_was_cut_is_not_sent_again() -> None:
    long = b'{"v": 2, "x": "' + b"x" * DEAD_LETTER_BYTES + b'"}'
    *_, cut = await found(await log_with(long))
    assert why_not(cut, ()) == f"is cut: {DEAD_LETTER_BYTES} of {len(long)} bytes are kept"


async def test_what_a_person_repaired_is_sent_in_place_of_what_was_kept() -> None:
    log = await log_with(b'{"x": "' + b"x" * DEAD_LETTER_BYTES + b'"}')
    *_, cut = await found(log)
    mended = repaired(cut, event(1).dump())
    assert why_not(mended, ()) is None
    await replay(MemorySender(log), mended)
    (sent,) = log.records(TOPIC)
    assert decode(sent) == event(1)
    assert why_not(cut, await replayed(log.reader(DEAD_LETTERS))) == "was sent again before"


@pytest.mark.parametrize("value", [b"", b"{", b'{"v": 2}'])
async def test_what_nobody_could_read_either_is_not_sent(value: bytes) -> None:
    first, *_ = await found(await log_with())
    with pytest.raises(ValueError, match="0@0: streams could not read what it was repaired to either"):
        repaired(first, value)


async def test_what_a_stranger_wrote_there_is_no_letter() -> None:
    log = MemoryLog()
    await log.put(DEAD_LETTERS, 0, b"?", b"", {"reason": b"x"})
    await log.put(DEAD_LETTERS, 0, b"?", b"", {"reason": b"x", "topic": b"t", "partition": b"-1", "offset": b"y"})
    assert await found(log) == []


@pytest.mark.parametrize("name", ["partition", "offset", "original_size"])
@pytest.mark.parametrize("number", ["²", "9" * 5000, "99999999999999999999", "-1", ""])
async def test_no_header_of_a_stranger_ends_who_lists(name: str, number: str) -> None:
    log = await log_with()
    origin = {"reason": b"x", "topic": b"t", "partition": b"1", "offset": b"2"}
    await log.put(DEAD_LETTERS, 0, b"?", b"", {**origin, name: number.encode()})
    *others, last = await found(log)
    assert len(others) == len(BAD) - (name != "original_size")
    assert last.original_size is None


@pytest.mark.parametrize("topic", ["rollout-decisions", "services", "cohort-windows", DEAD_LETTERS])
async def test_a_letter_that_says_it_was_no_telemetry_is_not_sent_for_a_stranger(topic: str) -> None:
    letter = replace((await found(await log_with()))[0], topic=topic)
    assert why_not(letter, ()) == f"did not come from telemetry: {topic} is none"


async def test_a_letter_that_can_be_read_by_now_is_an_event_again() -> None:
    log = await log_with()
    await log.put(
        DEAD_LETTERS,
        0,
        event(1).dump(),
        b"k",
        {"reason": b"invalid", "topic": b"mcp-requests", "partition": b"0", "offset": b"9"},
    )
    *_, letter = await found(log)
    await replay(MemorySender(log), letter)
    assert decode(log.records(TOPIC)[-1]) == event(1)


def test_spans_are_repaired_to_spans() -> None:
    sent = dead_letter(replace(record(3, 1000, b"{"), topic="otlp_spans"), f"{NOT_OTLP}: no JSON")
    kept = Record(DEAD_LETTERS, 0, 7, 1000, sent.key, sent.value, sent.headers)
    letter = DeadLetter.of(kept)
    assert letter is not None
    assert why_not(letter, ()) is None
    assert repaired(letter, b'{"resourceSpans": []}').value == b'{"resourceSpans": []}'
    with pytest.raises(ValueError, match="the bridge could not read what it was repaired to either"):
        repaired(letter, event(1).dump())


@pytest.mark.parametrize("command", ["show", "replay"])
@pytest.mark.parametrize("wrong", ["7", "3@", "@3", "3@-1", "three@1", "3@4@5", "3@4 "])
def test_an_id_that_is_none_is_refused_before_kafka_is_asked(command: str, wrong: str) -> None:
    done = CliRunner().invoke(app, ["dlq", command, "--timeout", "0", "--", wrong])
    assert done.exit_code == 2
    assert done.stderr == f"{wrong!r}: an id is PARTITION@OFFSET, like 3@1042, as davylamp dlq list says it.\n"
