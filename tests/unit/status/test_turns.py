"""Turns for everybody else while many records are read."""

import asyncio

from status.turns import TURN_S, in_turns


async def heard_between(steps_s: list[float]) -> list[int]:
    """After which items others had a turn, where reading each takes so long."""
    worked_s, turns = [0.0], list[int]()
    work = worked_s.append

    async def other() -> None:
        while True:
            turns.append(len(worked_s) - 1)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await asyncio.sleep(0)
    turns.clear()
    async for step_s in in_turns(steps_s, lambda: sum(worked_s)):
        work(step_s)
    task.cancel()
    return turns


async def test_others_have_a_turn_whenever_the_time_is_up() -> None:
    assert await heard_between([TURN_S / 2] * 6) == [2, 4, 6]
    assert await heard_between([2 * TURN_S] * 3) == [1, 2, 3]


async def test_what_takes_no_time_goes_through_in_one() -> None:
    assert await heard_between([0.0] * 500) == []


async def test_every_item_comes_once_and_in_order() -> None:
    assert [n async for n in in_turns(range(7), iter([0.001 * n for n in range(20)]).__next__)] == list(range(7))
