"""A rollout named on the command line, and its records from the log itself."""

from cli.terminal import fail
from judge.verify import Records

ROLLOUT_HELP = "SERVICE for its newest rollout, or SERVICE/NUMBER."


def rollout_named(text: str) -> tuple[str, int | None]:
    """`orders` or `orders/3`; anything else ends the command."""
    service, separator, number = text.partition("/")
    if not service or (separator and not number.isdigit()):
        fail(f"{text!r} names no rollout: write SERVICE or SERVICE/NUMBER, like orders/3", 2)
    return service, int(number) if separator else None


async def read_log(service: str, client: str) -> Records:
    """The service's partition of what the judge reads, up to where it ends now. Ends the command if it cannot be read."""
    from judge.verify import TOPICS, read_partition
    from schemas.partitions import partition_of
    from transport.kafka_log import KafkaReader
    from transport.log import LogError
    from transport.settings import KafkaSettings, SettingsError

    try:
        kafka = KafkaSettings.load("kafka")
    except SettingsError as error:
        fail(str(error))
    reader = KafkaReader(kafka, client, TOPICS)
    try:
        return await read_partition(reader, partition_of(service, kafka.control_partitions))
    except LogError as error:
        fail(str(error))
    finally:
        await reader.close()
