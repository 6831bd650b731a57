"""What the page's facts and tools say, as numbers for programs: by the functions that the page itself uses. Pure."""

from typing import Annotated

from pydantic import Field

from davylamp_sdk._message import Message
from schemas.names import ServiceName
from schemas.windows import ToolCount
from status.page.facts import counted_sessions, is_empty, left_on
from status.page.snapshot import Snapshot
from status.page.tools import tools_of
from status.ratio import Sessions, born


class NewSessions(Message):
    """New sessions of the newest stage that had a share, as somebody counted them."""

    baseline: int
    canary: int
    fits: Annotated[
        bool | None, Field(description="Whether chance alone explains the difference to the share; null: no sessions.")
    ]


class Ratio(Message):
    """The share that was asked for, and what telemetry and proxies counted."""

    stage: int
    asked: Annotated[int, Field(description="Of 10,000.")]
    telemetry: NewSessions
    proxies: NewSessions


class Left(Message):
    """Who is on the version whose sessions end sooner or later: the canary, or after its promotion the old baseline."""

    version: str
    began: Annotated[int | None, Field(description="Sessions that began there; null: nobody has counted.")]
    at_most: Annotated[int | None, Field(description="Of these, how many may still be there; null: nobody tells.")]


class ToolFact(Message):
    """One tool on both cohorts."""

    name: str
    baseline: ToolCount
    canary: ToolCount
    difference: Annotated[
        float | None, Field(description="Of the parts that failed; null where a cohort has not called it.")
    ]
    culprit: Annotated[bool, Field(description="The judge names it.")]


class ServiceFacts(Message):
    """The newest rollout in numbers, beside its checks."""

    service: ServiceName
    rollout: int
    baseline_sessions: Annotated[int, Field(description="That are compared.")]
    canary_sessions: int
    ratio: Annotated[Ratio | None, Field(description="null before a stage had a share.")]
    under_way: Annotated[
        dict[str, int],
        Field(description="Version → requests that are open now, by the proxies; empty if none was heard."),
    ]
    left: Annotated[Left | None, Field(description="null without a rollout.")]
    tools: Annotated[tuple[ToolFact, ...], Field(description="Worst first.")]


def facts_of(snapshot: Snapshot) -> ServiceFacts:
    """What the page says at that moment."""
    sessions = counted_sessions(snapshot)
    return ServiceFacts(
        service=snapshot.service,
        rollout=snapshot.view.rollout,
        baseline_sessions=sessions[0],
        canary_sessions=sessions[1],
        ratio=_ratio(snapshot),
        under_way=_under_way(snapshot),
        left=_left(snapshot) if snapshot.state is not None else None,
        tools=tuple(
            ToolFact(name=t.name, baseline=t.baseline, canary=t.canary, difference=t.difference, culprit=t.culprit)
            for t in tools_of(snapshot)
        ),
    )


def _ratio(snapshot: Snapshot) -> Ratio | None:
    found = born(snapshot.entries, snapshot.recent, snapshot.proxied)
    if found is None:
        return None
    telemetry, proxies = _counted(found.telemetry, found.asked), _counted(found.proxies, found.asked)
    return Ratio(stage=found.stage, asked=found.asked, telemetry=telemetry, proxies=proxies)


def _counted(sessions: Sessions, asked: int) -> NewSessions:
    fits = sessions.fits(asked) if sessions.all else None
    return NewSessions(baseline=sessions.baseline, canary=sessions.canary, fits=fits)


def _under_way(snapshot: Snapshot) -> dict[str, int]:
    proxied = snapshot.proxied
    if proxied is None or proxied.heard_ms() is None:
        return {}
    versions = (snapshot.baseline, *((snapshot.canary,) if snapshot.state is not None else ()))
    return {version: proxied.counts(version).active for version in versions}


def _left(snapshot: Snapshot) -> Left:
    version = left_on(snapshot)
    began = snapshot.recent.totals.get(version) if snapshot.recent else None
    at_most = 0 if is_empty(snapshot) else began.at_most if began else None
    return Left(version=version, began=began.sessions if began else None, at_most=at_most)
