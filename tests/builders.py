"""Small makers of messages, for tests of every service."""

from typing import Any

from schemas.control import ProxyRoute, RouteChange
from schemas.decisions import Cut, EntryKind, LedgerEntry, Opening, Reason
from schemas.plan import Plan
from schemas.service import Service

SEED = "0a" * 16

ONLY_ERRORS: dict[str, Any] = {
    "error_rate": {"within": "5pp"},
    **dict.fromkeys(("tool_success", "latency_p99", "latency_p90", "session_loss", "tools", "availability"), "off"),
}
"""The checks of a plan that can be proven with requests that have nothing but an outcome."""

SERVICE = Service.model_validate(
    {
        "service": "orders",
        "baseline": "v1",
        "versions": {v: {"endpoints": [f"127.0.0.1:800{v[1]}"]} for v in ("v1", "v2", "v3")},
    }
)


def plan(canary: str = "v2", **changes: Any) -> Plan:
    """Two stages of 20 % and 50 %."""
    stages = [
        {"share": "20%", "for": "10s", "min_sessions": 5},
        {"share": "50%", "for": "10s", "min_sessions": 5},
    ]
    return Plan.model_validate({"service": "orders", "canary": canary, "stages": stages, **changes})


def opening(canary: str = "v2", service: str = "orders", **changes: Any) -> Opening:
    definition = SERVICE.model_copy(update={"service": service})
    return Opening(plan=plan(canary, service=service, **changes), service=definition, seed=SEED)


def entry(kind: EntryKind, after: LedgerEntry | None = None, *, now: int = 1, **changes: Any) -> LedgerEntry:
    """An entry that follows `after` and takes everything else from it, and from :func:`plan`; a start counts on."""
    fields: dict[str, Any] = {
        "after": after.id if after else "",
        "service": after.service if after else "orders",
        "kind": kind,
        "rollout": (after.rollout if after else 0) + (kind == "start"),
        "baseline": after.baseline if after else "v1",
        "canary": after.canary if after else "v2",
        "reason": Reason(code="test", sentence=f"It is a {kind}."),
        "cut": Cut(offsets={}, now=now),
        "plan_hash": plan().hash,
        "actor": "judge",
        "code_version": "0",
    }
    if kind == "start":
        fields |= _opened(after, changes)
    stage = changes.get("stage", fields.get("stage", _stage(kind, after)))
    return LedgerEntry.make(**{**fields, "stage": stage, "share": _share(kind, stage, after), **changes})


def _opened(after: LedgerEntry | None, changes: dict[str, Any]) -> dict[str, Any]:
    """After a promotion the old canary is the baseline."""
    promoted = after is not None and after.kind in {"complete", "retire"}
    baseline = after.canary if after and promoted else after.baseline if after else "v1"
    canary = "v3" if promoted else after.canary if after else "v2"
    opened = changes.get("opening") or opening(changes.get("canary", canary), changes.get("service", "orders"))
    stage = 0 if "start" in opened.plan.approve else 1
    return {"opening": opened, "baseline": baseline, "canary": opened.plan.canary, "stage": stage}


def _stage(kind: EntryKind, after: LedgerEntry | None) -> int:
    stage = after.stage if after else 0
    return {"proceed": stage + 1, "complete": len(plan().stages) + 1}.get(kind, stage)


def _share(kind: EntryKind, stage: int, after: LedgerEntry | None) -> int:
    if kind in {"start", "proceed", "complete"}:
        return plan().share_of(stage)
    return 0 if kind in {"rollback", "drained"} or after is None else after.share


def route(entry_id: str, *, acknowledged: bool = True, detail: str | None = None) -> RouteChange:
    state = "rejected" if detail else "acknowledged" if acknowledged else "pending"
    proxy = ProxyRoute.model_validate({"proxy": "lb0", "state": state, "version": "1-1", "detail": detail})
    return RouteChange(
        service="orders", router="r", entry=entry_id, version="1-1", proxies=(proxy,), acknowledged=acknowledged, at=1
    )
