"""People in virtual time: they ask the status service, and ask again when it dies under their hands."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from schemas.service import Service
from status import definitions, proxies, words
from status.desk import Answer, Desk
from status.problems import NotReady, Problem, Refused, Unanswered, Unknown
from tests.builders import plan
from tests.unit.control_world import World
from transport.log import LogError

ACTOR = "anna"
ENDS = {"bake": "2s", "rollback": {"deadline": "2s"}, "stale_after": "4s"}
STAGES = [
    {"share": "20%", "for": "3s", "min_sessions": 5},
    {"share": "50%", "for": "3s", "min_sessions": 5},
]

Saying = Callable[[Desk], Awaitable[Answer]]


class Person:
    """Says a word until it is answered. By what they saw when they began: so nothing is done twice."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answers: list[str] = []

    async def start(self, canary: str = "v2", *, replace: bool = False, again: bool = False, **changes: Any) -> str:
        """Start a rollout of two short stages."""
        made, seen = plan(canary, **{"stages": STAGES, **ENDS, **changes}), self._head
        return await self._say(
            lambda desk: words.start(made, desk, ACTOR, "why", seen=seen, replace=replace, again=again)
        )

    async def approve(self, what: str | None = None) -> str:
        """Give a person's word."""
        word = words.Approving(reason="why", seen=self._head, approves=what)
        return await self._say(lambda desk: words.approve("orders", word, desk, ACTOR))

    async def promote(self, *, full: bool = False) -> str:
        """Go on without the gate."""
        word = words.Promotion(reason="why", seen=self._head, full=full)
        return await self._say(lambda desk: words.promote("orders", word, desk, ACTOR))

    async def say(self, kind: Any) -> str:
        """`retry`, `hold`, `resume`, `freeze`, `unfreeze`."""
        word = words.Word(reason="why", seen=self._head)
        return await self._say(lambda desk: words.say("orders", kind, word, desk, ACTOR))

    async def roll_back(self, mode: Any = None, seen: str | None = None) -> str:
        """Now; by what they see, or saw a moment ago."""
        word = words.Return(reason="why", seen=seen or self._head, mode=mode)
        return await self._say(lambda desk: words.rollback("orders", word, desk, ACTOR))

    async def undo(self) -> str:
        """Take a completed one back."""
        word = words.Return(reason="why", seen=self._head)
        return await self._say(lambda desk: words.undo("orders", word, desk, ACTOR))

    async def apply(self, service: Service) -> str:
        """Say where a service's versions listen."""

        async def applied(desk: Desk) -> Answer:
            await definitions.apply_service(service.service, service, desk)
            return Answer(sentence="applied")

        return await self._say(applied)

    async def forget(self, proxy: str) -> str:
        """It will not come back. Whoever asks again may find that it is forgotten already."""
        asked = False

        async def forgotten(desk: Desk) -> Answer:
            nonlocal asked
            try:
                return await proxies.forget(proxies.Forgetting(reason="why", proxy=proxy), desk, ACTOR)
            except Unknown:
                if not asked:
                    raise
                return Answer(sentence="forgotten already")
            finally:
                asked = True

        return await self._say(forgotten)

    @property
    def _head(self) -> str:
        return self.world.entries[-1].id if self.world.entries else ""

    async def _say(self, saying: Saying) -> str:
        """The sentence of the answer or refusal."""
        while True:
            answer = await self._ask(saying)
            if answer is not None:
                self.answers.append(answer)
                return answer
            await asyncio.sleep(0.5)

    async def _ask(self, saying: Saying) -> str | None:
        """None: nobody answered."""
        status = self.world.running["status"]
        if status.desk is None:
            return None
        asking = asyncio.ensure_future(saying(status.desk))
        gone = asyncio.ensure_future(status.ended.wait())
        await asyncio.wait({asking, gone}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not asking.done():
            if status.hands.dead:
                asking.cancel()
            return None
        try:
            return asking.result().sentence
        except (NotReady, Unanswered, Unknown, LogError):
            return None
        except Refused as refusal:
            return str(refusal)
        except Problem as problem:
            raise AssertionError(problem) from problem
