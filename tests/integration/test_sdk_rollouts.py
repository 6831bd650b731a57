"""A server follows its rollout on a real Kafka: its own service's, through an outage, without holding up its loop."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from davylamp_sdk import Rollout, Rollouts
from schemas.topics import Topic
from tests.builders import entry
from tests.unit.sdk.test_rollout import view
from transport.kafka_log import KafkaWriter
from transport.local_kafka import LocalKafka
from transport.settings import KafkaSettings
from transport.topics import ensure_topics

LEDGER: Topic = "rollout-decisions"
NOWHERE = "127.0.0.1:1"
PATIENCE_S = 60


async def take(rollouts: Rollouts, until: Callable[[Rollout], bool]) -> Rollout:
    """The first that fits."""
    async with asyncio.timeout(PATIENCE_S):
        async for rollout in rollouts:
            if until(rollout):
                return rollout
    raise AssertionError("following ended")


async def test_a_server_is_told_of_its_own_service_whichever_partition_it_lies_on(kafka: KafkaSettings) -> None:
    services = ["followed-a", "followed-b", "followed-c", "followed-d"]
    starts = {service: entry("start", service=service) for service in services}
    writer = KafkaWriter(kafka, "test-sdk-rollouts")
    for service, start in starts.items():
        await writer.append(LEDGER, service, start.dump())
    await writer.append("rollouts", "followed-a", view(service="followed-a", score=77))
    followers = {service: Rollouts(service, kafka.bootstrap) for service in services}
    told = [await take(followers[service], lambda rollout: rollout.phase == "running") for service in services]
    assert [(rollout.service, rollout.number, rollout.canary) for rollout in told] == [(s, 1, "v2") for s in services]
    scored = await take(followers["followed-a"], lambda rollout: rollout.score is not None)
    assert scored.score == 77
    back = entry("rollback", starts["followed-b"], now=2)
    await writer.append(LEDGER, "followed-b", back.dump())
    assert (await take(followers["followed-b"], lambda rollout: rollout.phase == "rolled_back")).share == 0
    for follower in followers.values():
        await asyncio.to_thread(follower.close)
    await writer.close()


async def test_kafka_away_holds_up_neither_the_loop_nor_closing() -> None:
    rollouts = Rollouts("orders", NOWHERE)
    listening = asyncio.create_task(take(rollouts, lambda _: True))
    for _ in range(1_000):
        await asyncio.sleep(0)
    assert rollouts.current is None
    assert not listening.done()
    await asyncio.to_thread(rollouts.close)
    with pytest.raises(AssertionError, match="following ended"):
        await listening


async def test_a_service_without_a_rollout_is_told_so(kafka: KafkaSettings) -> None:
    rollouts = Rollouts("never-started", kafka.bootstrap)
    assert await take(rollouts, lambda _: True) == Rollout(service="never-started")
    await asyncio.to_thread(rollouts.close)


async def test_after_an_outage_following_goes_on(tmp_path: Path) -> None:
    with LocalKafka(tmp_path) as node:
        settings = KafkaSettings(bootstrap=node.bootstrap)
        ensure_topics(settings)
        writer = KafkaWriter(settings, "test-sdk-rollouts")
        start = entry("start")
        await writer.append(LEDGER, "orders", start.dump())
        rollouts = Rollouts("orders", node.bootstrap)
        await take(rollouts, lambda rollout: rollout.phase == "running")
        await asyncio.to_thread(node.stop)
        assert rollouts.current is not None
        await asyncio.to_thread(node.start)
        await writer.append(LEDGER, "orders", entry("rollback", start, now=2).dump())
        await take(rollouts, lambda rollout: rollout.phase == "rolled_back")
        await asyncio.to_thread(rollouts.close)
        await writer.close()
