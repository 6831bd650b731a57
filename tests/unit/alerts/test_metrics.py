"""What alerts tell Prometheus: whether on-call hears of what happens."""

from alerts.agent import TOPICS, Alerts
from alerts.delivery import EVERYTHING, Post
from alerts.memory import InMemory
from alerts.metrics import render
from alerts.receivers import MemoryReceiver, Receiver, ReceiverError
from alerts.wording import Message
from tests.unit.alerts.fakes import running
from tests.unit.alerts.test_agent import HOLD, ROLLBACK, START, World
from tests.unit.status.test_metrics import samples


class Refusing:
    """A receiver whose token was revoked."""

    name = "on-call"

    async def send(self, _: Message) -> None:
        raise ReceiverError("401")


def alerts(world: World, *receivers: Receiver) -> Alerts:
    post = Post([(r, EVERYTHING) for r in receivers], InMemory(), world.time.clock, world.time.pause)
    return Alerts(world.log.reader(*TOPICS), world.time.clock, post, pause=world.time.pause)


async def test_a_receiver_that_refuses_shows_with_what_it_was_not_told() -> None:
    world = World()
    agent = alerts(world, MemoryReceiver(), Refusing())
    assert samples(render(agent))["davylamp_alerts_caught_up"] == 0
    async with running(world.time, agent.run()):
        await world.write(START, ROLLBACK)
        found = samples(render(agent))
    assert found["davylamp_alerts_caught_up"] == 1
    assert found['davylamp_alerts_undelivered{receiver="on-call"}'] == 1
    assert found['davylamp_alerts_failing{receiver="on-call"}'] == 1
    assert found['davylamp_alerts_undelivered{receiver="memory"}'] == 0
    assert found['davylamp_alerts_failing{receiver="memory"}'] == 0
    assert found["davylamp_alerts_log_away_seconds"] == 0


async def test_what_lasts_is_counted_by_severity() -> None:
    world = World()
    agent = alerts(world, MemoryReceiver())
    async with running(world.time, agent.run()):
        await world.write(START, HOLD)
        await world.time.advance(1)
        found = samples(render(agent))
    assert found['davylamp_alerts_burning{severity="page"}'] == 1
    assert found['davylamp_alerts_burning{severity="notice"}'] == 0
