"""Which definition of a service may be applied: none that moves traffic behind a rollout's back. Pure."""

from collections.abc import Iterable

from schemas.ledger import ServiceLedger
from schemas.service import Service
from schemas.standing import LIVE, Phase, Standing

_KEPT: frozenset[Phase] = LIVE | {"rolled_back", "completed"}
"""Both versions still serve sessions: while a rollout runs, drains or bakes."""


def objections(service: Service, chain: ServiceLedger, others: Iterable[Service]) -> list[str]:
    """Why it cannot be applied, each a sentence that says what to do; empty if it can.

    `others` are the definitions of all services; its own older one does not count.
    """
    standing = chain.standing
    found = [
        _baseline(service, standing),
        *_removed(service, chain),
        *_eras(service, standing),
        _telemetry(service, standing),
        *(_overlap(service, other) for other in others),
    ]
    return [objection for objection in found if objection is not None]


def _baseline(service: Service, standing: Standing) -> str | None:
    """The file names the first baseline; from then on rollouts change it."""
    serving, name = standing.baseline, service.service
    if serving is None or service.baseline == serving:
        return None
    way = f"davylamp undo {name}" if standing.phase == "completed" else f"start a rollout of {service.baseline}"
    return f"baseline {service.baseline}: {serving} serves {name} by the ledger; write `baseline: {serving}`, or {way}."


def _removed(service: Service, chain: ServiceLedger) -> list[str]:
    standing = chain.standing
    if standing.phase not in _KEPT:
        return []
    first = chain.rollout(standing.rollout)[0]
    gone = sorted({first.baseline, first.canary} - set(service.versions))
    phase = (standing.phase or "").replace("_", " ")
    return [
        f"versions: {version} cannot go while rollout {standing.rollout} of {service.service} is {phase}: "
        "it still serves sessions."
        for version in gone
    ]


def _eras(service: Service, standing: Standing) -> list[str]:
    """Who is drawn follows from what both versions speak: another answer would take the canary its sessions."""
    if not standing.live or standing.opening is None:
        return []
    began = standing.opening.service.versions
    both = [v for v in (standing.own_baseline, standing.canary) if v in began and v in service.versions]
    return [
        f"versions: the eras of {version} cannot change while {_running(service, standing)}: its draw would change; "
        f"write `eras: [{', '.join(began[version].eras)}]`, or davylamp rollback {service.service} first."
        for version in both
        if set(began[version].eras) != set(service.versions[version].eras)
    ]


def _telemetry(service: Service, standing: Standing) -> str | None:
    """Its windows would stop, and nobody would see the canary."""
    if not standing.live or standing.opening is None or service.telemetry == standing.opening.service.telemetry:
        return None
    return (
        f"telemetry: it cannot change while {_running(service, standing)}: nobody would see the canary; "
        f"write `telemetry: {standing.opening.service.telemetry}`, or davylamp rollback {service.service} first."
    )


def _running(service: Service, standing: Standing) -> str:
    return f"rollout {standing.rollout} of {service.service} is {standing.phase}"


def _overlap(service: Service, other: Service) -> str | None:
    """The same path at the same host: no proxy could tell which one is meant. A more specific one is no overlap."""
    if other.service == service.service or other.path != service.path:
        return None
    shared = sorted({h.lower() for h in service.hosts} & {h.lower() for h in other.hosts})
    if not shared:
        return None
    return f"hosts: {', '.join(shared)} with path {service.path} belongs to {other.service} already; take another host or path."
