"""`davylamp dlq` against a real Kafka."""

import asyncio

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from cli.dead_letters import Posting
from cli.dlq_sender import KafkaSender
from cli.main import app
from transport.kafka_log import KafkaReader
from transport.log import LogError
from transport.settings import KafkaSettings


@pytest.fixture
def ids(kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two dead letters of a topic that no other test looks at."""
    monkeypatch.setenv("DAVYLAMP_KAFKA_BOOTSTRAP", kafka.bootstrap)
    placed: list[str] = []
    producer = Producer(kafka.librdkafka("test-dlq"))
    for offset, value in ((b"41", b"{"), (b"42", b"\x1b[2J")):
        headers = {"reason": b"not_json: dlq test", "topic": b"mcp-requests", "partition": b"0", "offset": offset}
        producer.produce(
            "mcp-requests.dlq",
            value,
            b"k",
            0,
            lambda _, m: placed.append(f"{m.partition()}@{m.offset()}"),
            headers=headers,
        )
    producer.flush(20)
    return placed


def davylamp(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["dlq", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_dead_letters_are_listed_shown_and_sent_again_once(kafka: KafkaSettings, ids: list[str]) -> None:
    listed = davylamp("list", "--reason", "not_json", "--limit", "1000").splitlines()
    assert [any(line.startswith(f"{one} ") for line in listed) for one in ids] == [True, True]
    assert r"\x1b[2J" in davylamp("show", ids[1])

    assert f"{ids[0]}  would be sent to mcp-requests-0" in davylamp("replay", ids[0])
    assert f"{ids[0]}  sent to mcp-requests-0@" in davylamp("replay", ids[0], "--yes")
    assert f"{ids[0]}  was sent again before" in davylamp("replay", ids[0], "--yes")
    assert asyncio.run(sent_again(kafka)) == [b"{"]


async def test_of_two_who_replay_at_once_the_later_one_does(kafka: KafkaSettings) -> None:
    earlier, later = KafkaSender.of(kafka), KafkaSender.of(kafka)
    postings = [Posting("mcp-requests", 0, b"k", b"", {}), Posting("mcp-requests.dlq", 0, b"k", b"", {})]
    await earlier.begin()
    sent, note = await earlier.put_all(*postings)
    await later.begin()
    with pytest.raises(LogError, match="somebody else"):
        await earlier.put_all(*postings)
    sent_later, note_later = await later.put_all(*postings)
    assert (sent_later.offset > sent.offset, note_later.offset > note.offset) == (True, True)


async def sent_again(kafka: KafkaSettings) -> list[bytes | None]:
    reader = KafkaReader(kafka, "test-dlq", ["mcp-requests"])
    found: list[bytes | None] = []
    try:
        async for batch in reader.batches():
            found += (r.value for r in batch.records if "davylamp-replayed" in r.headers)
            if batch.caught_up:
                break
    finally:
        await reader.close()
    return found


def test_replay_asks_which() -> None:
    done = CliRunner().invoke(app, ["dlq", "replay"])
    assert done.exit_code == 2
    assert "--reason" in done.output
