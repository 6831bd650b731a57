"""What tests of several folders share: one real Kafka a test session."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from transport.local_kafka import LocalKafka
from transport.settings import KafkaSettings
from transport.topics import ensure_topics

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
"""No test is judged by the clock: a busy machine fails nothing."""


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    """A running Kafka with every topic. Tests share it: use services, or topics, of your own.

    Three control partitions, so that a service on the wrong one is noticed.
    """
    with LocalKafka(tmp_path_factory.mktemp("kafka")) as node:
        settings = KafkaSettings(bootstrap=node.bootstrap, control_partitions=3)
        ensure_topics(settings)
        yield settings
