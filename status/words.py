"""What people say to a rollout: every word is written to the log, and answered once it holds or is refused."""

import secrets
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field

from davylamp_sdk import __version__
from davylamp_sdk._message import Message
from schemas.control import Command
from schemas.decisions import Opening
from schemas.ledger import ServiceLedger
from schemas.names import Line
from schemas.plan import Approval, HoldMode, Plan, as_written
from status.desk import Actor, Answer, AtDesk, Desk, unknown
from status.problems import A_WORD, Refused
from status.rollback import Back, rollback_entry, why_not

Seen = Annotated[str | None, Field(description="Id of the entry that the person saw as head; default: the head.")]


class Word(Message):
    """A person's word, and why."""

    reason: Annotated[Line, Field(min_length=1)]
    seen: Seen = None


class Approving(Word):
    """`approves`: `start`, a stage's number or `promote`; default: what the rollout comes to next."""

    approves: Approval | None = None


class Promotion(Word):
    """`full`: to 100 % at once, not to the next stage."""

    full: bool = False


class Return(Word):
    """`mode`: what becomes of the canary's living sessions; default: what the plan says."""

    mode: HoldMode | None = None


routes = APIRouter(prefix="/api/rollouts", responses=A_WORD)


@routes.post("", status_code=201)
async def start(
    plan: Annotated[Plan, AfterValidator(as_written)],
    desk: AtDesk,
    actor: Actor,
    reason: Annotated[Line, Query()] = "",
    seen: Annotated[str | None, Query()] = None,
    replace: Annotated[bool, Query(description="Roll a running rollout back first.")] = False,  # noqa: FBT002
    again: Annotated[bool, Query(description="Although this version was rolled back.")] = False,  # noqa: FBT002
) -> Answer:
    """Start a rollout by its plan; answers once the judge has."""
    desk.require(plan.service)
    service = desk.feed.overview.services.get(plan.service)
    if service is None:
        raise Refused(unknown(plan.service))
    opening = Opening(plan=plan, service=service, seed=secrets.token_hex(16))
    word = Word.model_construct(reason=reason, seen=seen)
    more = {"opening": opening, "replace": replace, "again": again}
    return await desk.ask(_command(desk, plan.service, "start", word, actor, **more))


@routes.post("/{service}/approve")
async def approve(service: str, word: Approving, desk: AtDesk, actor: Actor) -> Answer:
    """Give a person's word for what the plan wants approved."""
    desk.require(service)
    approves = word.approves or next_approval(desk.feed.overview.ledger.of(service), service)
    return await desk.ask(_command(desk, service, "approve", word, actor, approves=approves))


@routes.post("/{service}/promote")
async def promote(service: str, word: Promotion, desk: AtDesk, actor: Actor) -> Answer:
    """To the next stage, or to 100 %, without waiting for the gate."""
    desk.require(service)
    return await desk.ask(_command(desk, service, "promote", word, actor, full=word.full))


@routes.post("/{service}/rollback")
async def rollback(service: str, word: Return, desk: AtDesk, actor: Actor) -> Answer:
    """Take a live rollout back. Needs no judge; wins against whatever the judge writes at the same moment."""
    return await _back(desk, service, "rollback", word, actor)


@routes.post("/{service}/undo")
async def undo(service: str, word: Return, desk: AtDesk, actor: Actor) -> Answer:
    """Take a completed rollout back, while the old baseline is still kept. Needs no judge."""
    return await _back(desk, service, "undo", word, actor)


@routes.post("/{service}/{kind}")
async def say(
    service: str,
    kind: Literal["retry", "hold", "resume", "freeze", "unfreeze"],
    word: Word,
    desk: AtDesk,
    actor: Actor,
) -> Answer:
    """Begin the stage anew; stop its clock; let it run again; let no rollout start; let them start again."""
    desk.require(service)
    return await desk.ask(_command(desk, service, kind, word, actor))


def next_approval(chain: ServiceLedger, service: str) -> str:
    """What a rollout comes to next: its `start`, the next stage's number, or `promote`. Raises :class:`Refused`."""
    standing = chain.standing
    if not standing.live or standing.opening is None:
        raise Refused(
            f"No rollout of {service} is under way: there is nothing to approve, davylamp start PLAN begins one."
        )
    return standing.opening.plan.approval_after(standing.stage)


async def _back(desk: Desk, service: str, back: Back, word: Return, actor: str) -> Answer:
    desk.require(service)
    chain = desk.feed.overview.ledger.of(service)
    objection = why_not(chain, service, back, word.seen)
    if objection is not None:
        raise Refused(objection)
    return await desk.decide(
        rollback_entry(
            chain,
            actor=actor,
            reason=word.reason,
            hold_mode=word.mode,
            now_ms=desk.clock.now_ms(),
            code_version=__version__,
        )
    )


def _command(desk: Desk, service: str, kind: str, word: Word, actor: str, **more: Any) -> Command:
    head = desk.feed.overview.ledger.of(service).head_id
    fields = {
        "id": secrets.token_hex(8),
        "service": service,
        "kind": kind,
        "seen": head if word.seen is None else word.seen,
        "reason": word.reason,
        "actor": actor,
    }
    return Command.model_validate({**fields, **more})
