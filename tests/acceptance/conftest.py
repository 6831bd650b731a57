"""What the countings on real Kafka share."""

from collections.abc import Iterator

import pytest

from tests.streams_ground import EVENTS, values
from transport.local_kafka import LocalKafka
from transport.settings import KafkaSettings
from transport.topics import ensure_topics


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    """One Kafka for all of a module, but for tests that restart their own."""
    with LocalKafka(tmp_path_factory.mktemp("kafka")) as node:
        settings = KafkaSettings(bootstrap=node.bootstrap)
        ensure_topics(settings)
        yield settings


@pytest.fixture(scope="module")
def messages() -> list[bytes]:
    """As many as are asked for."""
    return values(EVENTS)
