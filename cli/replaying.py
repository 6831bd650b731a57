"""What `davylamp replay` does with a recording and its options. Pure; what is not understood is a ``ValueError``."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from cli.replay_rendering import render_head, render_replay, render_standing, render_what_if
from davylamp_sdk import __version__
from judge.course import course
from judge.fold import INPUTS
from judge.policies.choice import AsPlanned
from judge.rollout.machine import Machine
from judge.verdicts import ByPerson, Same
from judge.verify import Records, Tape, links, verify
from judge.whatif import what_if
from schemas.checks import Checks
from schemas.decisions import Cut, LedgerEntry
from schemas.ledger import ServiceLedger
from schemas.plan import USUAL_ALPHA, WRITTEN, Plan
from schemas.policies import COMPARED, PolicyChoice, as_usual
from schemas.units import parse_duration_s
from status.mistakes import mistakes
from transport.recording import Header

MACHINE = Machine(AsPlanned(), __version__)


def as_it_was(header: Header, records: Records, until_ms: int | None) -> tuple[str, bool]:
    """What is printed, and whether every entry of the judge is the same to the byte."""
    verdicts = [
        verdict
        for verdict in verify(records, header.service, header.rollout, MACHINE, of_any_version=True)
        if until_ms is None or verdict.entry.decided_at <= until_ms
    ]
    text = f"{render_head(header, __version__)}\n{render_replay(verdicts)}"
    if until_ms is not None:
        text = f"{text}\n{_standing(header, records, until_ms)}"
    return text, all(isinstance(verdict, Same | ByPerson) for verdict in verdicts)


def under(plan: Plan, header: Header, records: Records, until_ms: int | None) -> str:
    """What is printed of a what-if. Raises :class:`judge.course.OtherCourseError`."""
    found = what_if(course(records, header.service, header.rollout, plan), MACHINE, until_ms)
    left_out = [name for name in header.plan.checks.enabled if name not in plan.checks.enabled]
    return f"{render_head(header, __version__)}\n{render_what_if(found, plan, left_out)}"


def asked_plan(header: Header, written: Any, policy: str | None) -> Plan | None:
    """The plan of a what-if; None: none is asked for. The policy that judged anyway keeps its settings and its revision."""
    if written is None and policy is None:
        return None
    if written is None and policy == (header.plan.policy or PolicyChoice(name="sequential")).name:
        return header.plan
    content = dict(_of_this_rollout(header, written))
    if policy is not None:
        content |= {"policy": policy} | _what_it_compares(content, policy)
    try:
        found = Plan.model_validate(content, context=None if written is None else WRITTEN)
    except ValidationError as error:
        wrong = "; ".join(map(str, mistakes(error.errors(), Plan)))
        raise ValueError(f"the plan of the what-if is refused: {wrong}") from error
    return found.model_copy(update={"policy": as_usual(found.policy)})


def _of_this_rollout(header: Header, written: Any) -> Mapping[str, Any]:
    """The recorded plan, or another one for the same service and canary, which it need not name."""
    if written is None:
        return header.plan.model_dump(mode="json", exclude_none=True, exclude={"policy"})
    if not isinstance(written, Mapping):
        raise ValueError("the plan of the what-if is no mapping of keys")  # noqa: TRY004 - one kind of refusal
    own = {"service": header.service, "canary": header.plan.canary}
    for key, name in own.items():
        if written.get(key, name) != name:
            raise ValueError(f"the recording's {key} is {name}, the plan says {written[key]}: leave it out")
    return {**own, **written}


def _what_it_compares(content: Mapping[str, Any], policy: str) -> dict[str, Any]:
    """The checks of a plan that was made for another policy: what this one does not know is switched off."""
    compared = COMPARED.get(next((name for name in COMPARED if name == policy), "sequential"))
    if compared is None:
        return {}
    foreign = [n for n in Checks.model_fields if n not in compared and n != "custom"]
    return {"alpha": USUAL_ALPHA, "checks": {**content.get("checks", {}), **dict.fromkeys(foreign, "off")}}


def moment(text: str | None, header: Header, records: Records) -> int | None:
    """Unix milliseconds of `--until`: a duration after the start, or a time with its zone."""
    if text is None:
        return None
    if text[:1].isdigit() and text[-1:].isalpha() and "T" not in text:
        return _started_ms(header, records) + round(parse_duration_s(text) * 1000)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ValueError(
            f"--until {text}: write a duration after the start like 90s, or a time like 2026-01-31T14:05:00+00:00"
        )
    if round(at.timestamp() * 1000) < (started_ms := _started_ms(header, records)):
        began = datetime.fromtimestamp(started_ms / 1000, UTC).isoformat()
        raise ValueError(f"--until {text}: the rollout began later, at {began}")
    return round(at.timestamp() * 1000)


def _own(header: Header, records: Records) -> list[LedgerEntry]:
    return [link.entry for link in links(records, header.service) if link.entry.rollout == header.rollout]


def _started_ms(header: Header, records: Records) -> int:
    return next((entry.decided_at for entry in _own(header, records) if entry.kind == "start"), 0)


def _standing(header: Header, records: Records, at_ms: int) -> str:
    """What the judge had said and read by then."""
    chain = ServiceLedger()
    for link in links(records, header.service):
        if link.entry.decided_at <= at_ms:
            chain, _ = chain.read(link.entry, link.record.offset)
    tape = Tape(records, header.service)
    ends = {
        topic: max((r.offset + 1 for r in records.get(topic, ()) if r.timestamp_ms <= at_ms), default=0)
        for topic in INPUTS
    }
    cut = Cut(offsets={f"{topic}-{tape.partition}": end for topic, end in ends.items() if end}, now=at_ms)
    return render_standing(tape.decide(MACHINE, chain, cut).view, _started_ms(header, records))
