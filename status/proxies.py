"""The proxies: which exist, what each runs, and people's word that one will not come back."""

import asyncio
import secrets
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from davylamp_sdk._message import Message
from schemas.control import Command, ProxyRoute
from schemas.names import ServiceName
from status.desk import Actor, Answer, AtDesk, Desk, unknown
from status.problems import A_WORD, NotReady, Refused, Unanswered, Unknown, refuses
from status.views import Overview
from status.words import Word

routes = APIRouter(prefix="/api/proxies")


class ServiceProxy(Message):
    """One proxy, as far as one service is concerned."""

    service: str
    route: ProxyRoute
    """By every router's words that still count: `pending` and not connected is unknown."""
    routers: tuple[str, ...]
    """Those that named it as connected when they last spoke."""


class Forgetting(Word):
    """`proxy` will not come back. `service`: for this one only; default: every service that knows it."""

    proxy: Annotated[str, Field(min_length=1)]
    service: ServiceName | None = None


@routes.get("", responses=refuses(NotReady))
async def proxies(desk: AtDesk) -> list[ServiceProxy]:
    """Every proxy that exists, by service and name."""
    desk.require_ready()
    return [one for service in sorted(desk.feed.overview.fleets) for one in _known(desk, service)]


@routes.post("/forget", responses=A_WORD)
async def forget(word: Forgetting, desk: AtDesk, actor: Actor) -> Answer:
    """Let a proxy that is gone for good block nothing any more. One that lives comes back with its next word."""
    desk.require_ready()
    found = [one for one in _asked_for(desk, word) if one.route.proxy == word.proxy]
    if not found:
        raise Unknown(f"No router has named a proxy {word.proxy}: davylamp proxy list shows those that exist.")
    for one in found:
        desk.require_reach(one.service)  # all of them or none
    await asyncio.gather(*(_forget(desk, one, word, actor) for one in found))
    services = ", ".join(one.service for one in found)
    return Answer(sentence=f"{word.proxy} is forgotten for {services}. If it ever connects again, it exists again.")


async def _forget(desk: Desk, one: ServiceProxy, word: Forgetting, actor: str) -> None:
    """Write the command, and wait until a router tells that it read it; who named the proxy as connected is asked first."""
    overview, limit_s = desk.feed.overview, desk.answer_within_s
    position = await desk.write("rollout-commands", one.service, _command(desk, one, word, actor).dump())

    def told(overview: Overview, *routers: str) -> bool | None:
        fleet = overview.fleets[one.service]
        newest = [fleet.words[router].change.forgotten.get(word.proxy, -1) for router in routers]
        newest = newest or [fleet.roster.forgotten.get(word.proxy, -1)]
        return min(newest) >= position.offset or None

    heard = await desk.feed.wait_for(lambda o: told(o, *one.routers), limit_s)
    if heard is None and told(overview) is None:
        raise Unanswered(
            f"No router has told within {limit_s:g} s that it forgets {word.proxy} for {one.service}: is one running? "
            "It will when it reads the command; davylamp proxy list shows whether it did."
        )
    if word.proxy in overview.fleets[one.service].roster.names:
        raise Refused(f"{word.proxy} lives: it is connected to a router, which named it again. Stop it first.")


def _command(desk: Desk, one: ServiceProxy, word: Forgetting, actor: str) -> Command:
    return Command(
        id=secrets.token_hex(8),
        service=one.service,
        kind="forget",
        seen=desk.feed.overview.ledger.of(one.service).head_id,
        reason=word.reason,
        actor=actor,
        proxy=word.proxy,
    )


def _asked_for(desk: Desk, word: Forgetting) -> list[ServiceProxy]:
    fleets = desk.feed.overview.fleets
    if word.service is not None and word.service not in fleets:
        raise Unknown(unknown(word.service))
    return [one for service in sorted(fleets) if word.service in (None, service) for one in _known(desk, service)]


def _known(desk: Desk, service: str) -> list[ServiceProxy]:
    overview, now_ms = desk.feed.overview, desk.clock.now_ms()
    fleet = overview.fleets[service]
    picture = fleet.picture(overview.ledger.of(service).head_id, now_ms)
    return [ServiceProxy(service=service, route=route, routers=fleet.routers_of(route.proxy)) for route in picture]
