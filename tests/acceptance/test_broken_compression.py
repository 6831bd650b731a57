"""Record batches whose compression is cut or damaged, as no client's library would send them: the broker keeps them out of the log.

So no worker ever meets one, and what is sent beside them is counted exactly.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from tests.streams_ground import SERVICE, Ground, ground
from tests.telemetry import event
from transport.local_kafka import LocalKafka
from transport.settings import KafkaSettings
from transport.topics import ensure_topics

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

GZIP = 1
LENGTH, CHECKSUM, CHECKED, RECORDS = 8, 17, 21, 61
"""Where fields of a record batch of version 2 begin (Kafka's protocol guide, "Record Batch")."""
NO_ERROR = 0
"""Any other is a refusal: brokers say CORRUPT_MESSAGE, INVALID_RECORD or UNKNOWN_SERVER_ERROR, as the damage is found."""


@pytest_asyncio.fixture
async def made(tmp_path: Path) -> AsyncIterator[Ground]:
    with LocalKafka(tmp_path / "kafka") as node:
        settings = KafkaSettings(bootstrap=node.bootstrap)
        ensure_topics(settings)
        async with ground(settings, tmp_path, "compression") as running:
            yield running


def compressed(damage: Callable[[bytes], bytes]) -> bytes:
    """One batch of ten events, damaged after it was compressed; length and checksum are right, so only reading it shows."""
    builder = DefaultRecordBatchBuilder(2, GZIP, 0, -1, -1, -1, 1 << 20)
    for n in range(10):
        builder.append(n, 1_700_000_000_000, b"k", event(n, service=SERVICE).dump(), [])
    whole = bytes(builder.build())
    batch = bytearray(whole[:RECORDS] + damage(whole[RECORDS:]))
    batch[LENGTH : LENGTH + 4] = (len(batch) - LENGTH - 4).to_bytes(4, "big")
    batch[CHECKSUM : CHECKSUM + 4] = calc_crc32c(bytes(batch[CHECKED:])).to_bytes(4, "big")
    return bytes(batch)


async def sent(made: Ground, batch: bytes) -> int:
    """The broker's answer."""
    client = AIOKafkaClient(bootstrap_servers=made.kafka.bootstrap)
    await client.bootstrap()
    try:
        await client.force_metadata_update()
        node = next(iter(client.cluster.brokers())).nodeId
        answer = await client.send(node, ProduceRequest(None, -1, 10_000, [(made.topic, [(0, batch)])]))
    finally:
        await client.close()
    ((_, ((_, code, *_),)),) = answer.topics
    return int(code)


def flipped(records: bytes) -> bytes:
    middle = len(records) // 2
    return records[:middle] + bytes(byte ^ 0xFF for byte in records[middle : middle + 8]) + records[middle + 8 :]


async def test_batches_of_broken_compression_are_refused_and_all_else_is_counted(made: Ground) -> None:
    made.start()
    await made.send([event(n, service=SERVICE).dump() for n in range(40)])
    for damage in (lambda records: records[:-20], flipped, lambda _: b"\x1f\x8b", lambda _: b""):
        assert await sent(made, compressed(damage)) != NO_ERROR
    await made.send([event(n, service=SERVICE).dump() for n in range(40, 80)])
    said = await made.assert_exact()
    assert sum(n for row in said.cells.values() for name, n in row.items() if name.startswith("outcome ")) == 80


async def test_the_same_batch_undamaged_is_taken(made: Ground) -> None:
    """Or the test above would prove nothing."""
    made.start()
    assert await sent(made, compressed(bytes)) == NO_ERROR
    made.acknowledged += 10
    await made.assert_exact()
