"""Small makers of messages, for tests of every service."""

from typing import Any

from schemas.control import ProxyRoute, RouteChange
from schemas.decisions import Cut, EntryKind, LedgerEntry, Opening, Reason
from schemas.plan import Plan
from schemas.service import Service

SEED = "0a" * 16

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


def opening(canary: str = "v2", **changes: Any) -> Opening:
    return Opening(plan=plan(canary, **changes), service=SERVICE, seed=SEED)


def entry(kind: EntryKind, after: LedgerEntry | None = None, *, now: int = 1, **changes: Any) -> LedgerEntry:
    """An entry that follows `after` and takes everything else from it; a start counts the rollouts on."""
    fields: dict[str, Any] = {
        "after": after.id if after else "",
        "service": "orders",
        "kind": kind,
        "rollout": (after.rollout if after else 0) + (kind == "start"),
        "stage": 1 if after is None or kind == "start" else after.stage + (kind in {"proceed", "complete"}),
        "share": _share(kind, after),
        "baseline": after.baseline if after else "v1",
        "canary": after.canary if after else "v2",
        "reason": Reason(code="test", sentence=f"It is a {kind}."),
        "cut": Cut(offsets={}, now=now),
        "plan_hash": plan().hash,
        "actor": "judge",
        "code_version": "0",
        "opening": opening() if kind == "start" else None,
    }
    return LedgerEntry.make(**{**fields, **changes})


def _share(kind: EntryKind, after: LedgerEntry | None) -> int:
    fixed = {"start": 2_000, "proceed": 5_000, "complete": 10_000, "rollback": 0, "drained": 0}
    return fixed.get(kind, after.share if after else 0)


def route(entry_id: str, *, acknowledged: bool = True, detail: str | None = None) -> RouteChange:
    state = "rejected" if detail else "acknowledged" if acknowledged else "pending"
    proxy = ProxyRoute.model_validate({"proxy": "lb0", "state": state, "version": "1-1", "detail": detail})
    return RouteChange(
        service="orders", router="r", entry=entry_id, version="1-1", proxies=(proxy,), acknowledged=acknowledged, at=1
    )
