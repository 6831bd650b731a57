"""What tests of several folders share: one real Kafka a test session, and sites of real Envoys."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from transport.local_kafka import LocalKafka
from transport.settings import KafkaSettings
from transport.topics import ensure_topics

if TYPE_CHECKING:
    from tests.site import Fleet

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
"""No test is judged by the clock: a busy machine fails nothing."""


WHOLE_STORIES = frozenset({"test_stories.py", "test_secured_kafka.py"})
"""Rollouts by every service at once: their clients' patience is the only clock in the default run."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist=loadfile` means our lanes."""
    if config.getvalue("dist") != "loadfile":
        return None
    from tests.lanes import Lanes

    return Lanes(config, log, WHOLE_STORIES)


def pytest_configure(config: pytest.Config) -> None:
    """Only a worker of xdist's is told who it is."""
    if hasattr(config, "workerinput"):
        from tests.lanes import give_way

        give_way(config.workerinput["workerid"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole stories first, so that the lanes begin together when they are told."""
    items.sort(key=lambda item: item.path.name not in WHOLE_STORIES)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    """A running Kafka with every topic. Tests share it: use services, or topics, of your own.

    Three control partitions, so that a service on the wrong one is noticed.
    """
    with LocalKafka(tmp_path_factory.mktemp("kafka")) as node:
        settings = KafkaSettings(bootstrap=node.bootstrap, control_partitions=3)
        ensure_topics(settings)
        yield settings


@pytest.fixture
async def fleet(tmp_path: Path) -> "AsyncIterator[Fleet]":
    """Starts sites, and stops what is left of them."""
    from tests.site import Fleet

    async with AsyncExitStack() as stack:
        yield Fleet(tmp_path, stack)
