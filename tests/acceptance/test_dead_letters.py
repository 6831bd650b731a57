"""A message that nobody could read is repaired and sent again, while a worker is killed: it is counted once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.streams_ground import SERVICE, Ground, ground
from tests.telemetry import event
from transport.local_kafka import LocalKafka
from transport.settings import KafkaSettings
from transport.topics import ensure_topics

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

GOOD = [event(n, service=SERVICE).dump() for n in range(40)]
BROKEN, REPAIRED = event(99, service=SERVICE).dump()[:-9], event(99, service=SERVICE).dump()


@pytest.fixture
def kafka(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KafkaSettings]:
    with LocalKafka(tmp_path / "kafka") as node:
        monkeypatch.setenv("DAVYLAMP_KAFKA_BOOTSTRAP", node.bootstrap)
        settings = KafkaSettings(bootstrap=node.bootstrap)
        ensure_topics(settings)
        yield settings


async def davylamp(*arguments: str, code: int = 0) -> str:
    done = await asyncio.to_thread(CliRunner().invoke, app, ["dlq", *arguments])
    assert done.exit_code == code, done.output
    return done.output


async def counted(made: Ground) -> int:
    said = await made.assert_exact()
    return sum(n for row in said.cells.values() for name, n in row.items() if name.startswith("outcome "))


async def test_a_repaired_message_is_counted_once(kafka: KafkaSettings, tmp_path: Path) -> None:
    file = tmp_path / "repaired.json"
    async with ground(kafka, tmp_path, "letters") as made:
        made.start()
        await made.send([*GOOD, BROKEN])
        assert await counted(made) == len(GOOD)

        (line,) = (await davylamp("list", "--reason", "not_json")).splitlines()
        id_ = line.split()[0]
        assert f"{made.topic}-" in line
        assert "create_invoice" in await davylamp("show", id_)

        file.write_bytes(BROKEN)
        assert "could not read" in await davylamp("replay", id_, "--repaired", str(file), "--yes", code=2)
        file.write_bytes(REPAIRED)
        assert "would be sent" in await davylamp("replay", id_, "--repaired", str(file))
        assert f"{id_}  sent to {made.topic}-" in await davylamp("replay", id_, "--repaired", str(file), "--yes")
        made.workers["w0"].kill()
        made.start()
        for words in (["--repaired", str(file)], []):
            assert f"{id_}  was sent again before" in await davylamp("replay", id_, *words, "--yes")
        made.acknowledged += 1
        assert await counted(made) == len(GOOD) + 1
