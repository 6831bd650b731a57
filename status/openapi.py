"""The API's own description: what every route may refuse, and an example of everything that is sent to it."""

import json
from importlib.resources import files
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from schemas.control import RolloutView, RouteChange
from schemas.decisions import LedgerEntry
from schemas.service import Service
from status.lately import WindowNews
from status.problems import Forbidden, NotReady, Problem, Refused, Unanswered, Unknown, Wrong
from status.stream import Pulse, Snapshots

DESCRIPTION = """Rollouts of MCP servers: what holds, why, and people's words.

Reads need a viewer's token, changes an operator's (`Authorization: Bearer …`, or the session cookie of `/login`); without
configured tokens the API answers on loopback only, and `?actor=NAME` says who is asking. Every refusal is an
`application/problem+json` (RFC 9457) whose `detail` says what to do. A change answers once it holds: it was written to the
log and read back from it. Bodies forbid unknown keys."""

PROBLEM = {
    "title": "Problem",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened, and what to do about it."},
        "errors": {
            "type": "array",
            "description": "Every mistake of a body, where it is and what to write instead.",
            "items": {
                "type": "object",
                "required": ["path", "message"],
                "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
    "examples": [
        {
            "type": "about:blank",
            "title": "Refused",
            "status": 409,
            "detail": "Rollout 3 of orders is already rolled back, and its canary's sessions drain.",
        }
    ],
}

_PROBLEMS: tuple[type[Problem], ...] = (Forbidden, Unknown, Refused, Wrong, NotReady, Unanswered)

WORD = {"reason": "errors in the field", "seen": "5f0c2a9d5f0c2a9d5f0c2a9d5f0c2a9d"}

_FILES = {"Plan": "plan.v1/careful.json", "Service": "service.v1/two-versions.json"}
_EXAMPLES: dict[str, dict[str, Any]] = {
    "Word": WORD,
    "Return": {**WORD, "mode": "drain"},
    "Promotion": {**WORD, "full": False},
    "Approving": {**WORD, "approves": "2"},
    "Forgetting": {"reason": "the machine is gone", "proxy": "edge-3"},
    "Answer": {"command": "9f86d081884c7d65", "sentence": "anna held it: errors in the field."},
}


EVENTS: dict[str, type[BaseModel]] = {
    "snapshot": Snapshots,
    "view": RolloutView,
    "entry": LedgerEntry,
    "route": RouteChange,
    "window": WindowNews,
    "service": Service,
    "pulse": Pulse,
}
"""What the live streams' `data` holds, by event: OpenAPI has no place for it but an extension."""

_REF = "#/components/schemas/"


def _event_schemas() -> dict[str, Any]:
    models: list[tuple[type[BaseModel], Literal["serialization"]]] = [(m, "serialization") for m in EVENTS.values()]
    _, found = models_json_schema(models, ref_template=f"{_REF}{{model}}")
    return dict(found["$defs"])


def responses() -> dict[int | str, dict[str, Any]]:
    """What any route may answer beside what it says itself."""
    framework = {400: "The body is no text that could be read", 401: "Nobody knows who is asking"}
    told = framework | {kind.status: (kind.__doc__ or kind.title).strip().removesuffix(".") for kind in _PROBLEMS}
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": text, "content": content} for status, text in told.items()}


def describe(app: FastAPI) -> None:
    """Let `/openapi.json` say it all."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = plain()
            schemas = found.setdefault("components", {}).setdefault("schemas", {})
            schemas["Problem"] = PROBLEM
            schemas.update({**_event_schemas(), **schemas})
            for path in ("/api/stream", "/api/rollouts/{service}/stream"):
                content = found["paths"][path]["get"]["responses"]["200"]["content"]["text/event-stream"]
                content["x-events"] = {kind: {"$ref": f"{_REF}{model.__name__}"} for kind, model in EVENTS.items()}
            examples = _examples()
            for (
                name
            ) in schemas:  # what is read and what is written of one model may be two: `Plan-Input`, `Plan-Output`
                if (model := name.partition("-")[0]) in examples:
                    schemas[name]["examples"] = [examples[model]]
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation has it


def _examples() -> dict[str, Any]:
    folder = files("schemas") / "examples"
    return _EXAMPLES | {name: json.loads((folder / file).read_text(encoding="utf-8")) for name, file in _FILES.items()}
