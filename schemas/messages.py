"""Every message of the contract in one place, by the name of its JSON Schema."""

from davylamp_sdk._event import EventBatch, Outcome, RequestEvent
from davylamp_sdk._message import Message, canonical_json
from schemas.control import Command, ProxyReport, RolloutView, RouteChange
from schemas.decisions import LedgerEntry
from schemas.plan import Plan
from schemas.service import Service
from schemas.windows import CohortWindow

SCHEMAS: dict[str, type[Message]] = {
    "request-event.v1": RequestEvent,
    "event-batch.v1": EventBatch,
    "cohort-window.v1": CohortWindow,
    "ledger-entry.v1": LedgerEntry,
    "command.v1": Command,
    "route-change.v1": RouteChange,
    "proxy-report.v1": ProxyReport,
    "rollout-view.v1": RolloutView,
    "plan.v1": Plan,
    "service.v1": Service,
}

__all__ = [
    "SCHEMAS",
    "CohortWindow",
    "Command",
    "EventBatch",
    "LedgerEntry",
    "Message",
    "Outcome",
    "Plan",
    "ProxyReport",
    "RequestEvent",
    "RolloutView",
    "RouteChange",
    "Service",
    "canonical_json",
]
