"""What a router tells Prometheus: the share that is wanted, and the one that each proxy gives."""

from pathlib import Path

from router.agent import Router
from router.latch import Word
from router.metrics import render
from router.snapshot import Snapshot
from tests.builders import SERVICE
from tests.unit.router.test_agent import PROCEED, START, Stage
from tests.unit.status.test_metrics import samples

DESIRED = 'davylamp_router_share_desired_ratio{service="orders"}'


def observed(found: dict[str, float]) -> dict[str, float]:
    name = 'davylamp_router_share_observed_ratio{service="orders",proxy="'
    return {key.removeprefix(name).removesuffix('"}'): value for key, value in found.items() if key.startswith(name)}


async def served(stage: Stage, router: Router, *messages: object) -> dict[str, float]:
    await stage.write(*messages)  # type: ignore[arg-type]
    async for batch in stage.log.reader("services", "rollout-decisions").batches():
        await router.handle(batch)
        if batch.caught_up:
            break
    return samples(render(router))


async def test_desired_and_observed_are_one_where_every_proxy_has_acknowledged() -> None:
    stage = Stage()
    stage.proxies.connect("lb0")
    found = await served(stage, stage.router(), SERVICE, START)
    assert (found[DESIRED], observed(found)) == (0.2, {"lb0": 0.2})
    assert found['davylamp_router_proxies{service="orders",state="acknowledged"}'] == 1
    assert found["davylamp_router_serving"] == 1


async def test_a_proxy_that_refuses_gives_the_share_that_it_had() -> None:
    stage = Stage()
    router = stage.router()
    stage.proxies.connect("lb0")
    await served(stage, router, SERVICE, START)

    def refuse(_: Snapshot) -> str:
        return "no"

    stage.proxies.connect("lb0", refuse)
    found = await served(stage, router, PROCEED)
    assert (found[DESIRED], observed(found)) == (0.5, {"lb0": 0.2})
    assert found['davylamp_router_proxies{service="orders",state="rejected"}'] == 1


async def test_what_was_said_to_it_directly_is_desired_at_once_and_shows_until_the_ledger_has_it(
    tmp_path: Path,
) -> None:
    stage = Stage(folder=tmp_path)
    router = stage.router()
    stage.proxies.connect("lb0")
    await served(stage, router, SERVICE, START)
    stage.proxies.connect("lb0", None)  # it does not answer any more
    await router.roll_back(Word(service="orders", rollout=1, reason="", actor="anna"))
    found = samples(render(router))
    assert (found[DESIRED], found["davylamp_router_latched"]) == (0, 1)
    assert observed(found) in ({"lb0": 0.2}, {})
