"""What the judge tells Prometheus: whether it looks, and how long ago anything was decided."""

from judge.agent import Judge
from judge.metrics import render
from judge.rollout.machine import Decision, Machine
from judge.rollout.state import ServiceState
from schemas.decisions import Cut
from tests.unit.judge.test_agent import START, Scene
from tests.unit.status.test_metrics import samples


class Fails(Machine):
    """Cannot judge anything."""

    def decide(self, state: ServiceState, cut: Cut) -> Decision:
        raise ZeroDivisionError(f"{state.name} at {cut.now}")


class Away:
    """A reader that has not heard the log for so long."""

    def __init__(self, away_s: float) -> None:
        self.away_s = away_s


def told(scene: Scene, *away_s: float) -> dict[str, float]:
    return samples(render(scene.judge, scene.clock, *map(Away, away_s)))  # type: ignore[arg-type]


async def test_before_it_has_caught_up_it_has_looked_at_nothing() -> None:
    scene = Scene()
    await scene.write(START)
    await scene.turn(caught_up=False)
    found = told(scene, 1.5, 4.0)
    assert found["davylamp_judge_caught_up"] == 0
    assert found["davylamp_judge_log_away_seconds"] == 4.0
    assert "davylamp_judge_look_age_seconds" not in found


async def test_its_last_look_and_the_newest_decision_grow_old() -> None:
    scene = Scene()
    await scene.write(START)
    await scene.turn()
    scene.clock.advance(9)
    found = told(scene)
    assert found["davylamp_judge_caught_up"] == 1
    assert found["davylamp_judge_look_age_seconds"] == 9
    assert found['davylamp_judge_decision_age_seconds{service="orders"}'] == 9


async def test_a_service_that_it_cannot_judge_is_counted() -> None:
    scene = Scene()
    await scene.write(START)
    scene.judge = Judge(Fails(scene.policy, "0.1"), scene.log.writer(), scene.clock)
    await scene.turn()
    await scene.turn()
    assert told(scene)['davylamp_judge_not_judged_total{service="orders"}'] == 2
