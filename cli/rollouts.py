"""A rollout named on the command line, and its records from the log itself."""

import re
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, cast

from cli.terminal import EXIT_WRONG, fail
from schemas.names import SERVICE_NAME
from schemas.topics import Topic
from transport.log import LogError, Record
from transport.recording import Header

if TYPE_CHECKING:
    from judge.verify import Records
    from transport.shelf import Shelf

ROLLOUT_HELP = "SERVICE for its newest rollout, or SERVICE/NUMBER."


def rollout_named(text: str) -> tuple[str, int | None]:
    """`orders` or `orders/3`; anything else ends the command."""
    service, separator, number = text.partition("/")
    if not re.fullmatch(SERVICE_NAME, service) or (separator and not number.isdigit()):
        fail(f"{text!r} names no rollout: write SERVICE or SERVICE/NUMBER, like orders/3", 2)
    return service, int(number) if separator else None


async def read_log(service: str, client: str, shelf: "Shelf") -> "Records":
    """The service's partition of what the judge reads, up to where it ends now: it lies on the shelf, for it may be long.

    Ends the command if it cannot be read.
    """
    from judge.fold import TOPICS
    from judge.verify import read_partition
    from schemas.partitions import partition_of
    from transport.kafka_log import KafkaReader
    from transport.settings import KafkaSettings, SettingsError

    try:
        kafka = KafkaSettings.load("kafka")
    except SettingsError as error:
        fail(str(error), EXIT_WRONG)
    reader = KafkaReader(kafka, client, TOPICS)
    try:
        await read_partition(reader, partition_of(service, kafka.control_partitions), shelf.put)
    except LogError as error:
        fail(str(error))
    finally:
        await reader.close()
    return shelf.records()


def lasted_ms(header: Header, records: "Records") -> tuple[int, int | None]:
    """When the log took the rollout's start, and that of the next one, if there is one."""
    from judge.verify import links

    starts = {
        link.entry.rollout: link.record.timestamp_ms
        for link in links(records, header.service)
        if link.entry.kind == "start"
    }
    return starts[header.rollout], starts.get(header.rollout + 1)


async def read_telemetry(topic: str, since_ms: int, until_ms: int | None) -> AsyncGenerator[Record]:
    """A telemetry topic for that long, or to where it ends now; each partition in its order."""
    from transport.kafka_log import KafkaReader
    from transport.settings import KafkaSettings

    reader = KafkaReader(KafkaSettings.load("kafka"), "davylamp-record", [cast("Topic", topic)], since_ms=since_ms)
    try:
        async for batch in reader.batches():
            for record in batch.records:
                if until_ms is None or record.timestamp_ms < until_ms:
                    yield record
            if batch.caught_up:
                break
    except LogError as error:
        fail(str(error))
    finally:
        await reader.close()
