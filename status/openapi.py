"""The API's own description: who may come in, what the streams hold, and examples."""

from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from schemas.control import RolloutView, RouteChange
from schemas.decisions import LedgerEntry
from schemas.names import ActorName
from schemas.service import Service
from status.door import PROBES
from status.examples import answered, examples
from status.lately import WindowNews
from status.sessions import COOKIE
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

ACTOR = {
    "name": "actor",
    "in": "query",
    "required": False,
    "description": "Who is asking, where the API knows no tokens; else the token's name counts, and this says nothing.",
    "schema": TypeAdapter(ActorName).json_schema(),
}


def _event_schemas() -> dict[str, Any]:
    models: list[tuple[type[BaseModel], Literal["serialization"]]] = [(m, "serialization") for m in EVENTS.values()]
    _, found = models_json_schema(models, ref_template=f"{_REF}{{model}}")
    return dict(found["$defs"])


def describe(app: FastAPI) -> None:
    """Let `/openapi.json` say it all."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = plain()
            _add_schemas(found.setdefault("components", {}).setdefault("schemas", {}))
            _add_events(found["paths"])
            _add_examples(found)
            _add_door(found)
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation has it


def _add_schemas(schemas: dict[str, Any]) -> None:
    schemas["Problem"] = PROBLEM
    schemas.update({**_event_schemas(), **schemas})


def _add_events(paths: dict[str, Any]) -> None:
    for path in ("/api/stream", "/api/rollouts/{service}/stream"):
        content = paths[path]["get"]["responses"]["200"]["content"]["text/event-stream"]
        content["x-events"] = {kind: {"$ref": f"{_REF}{model.__name__}"} for kind, model in EVENTS.items()}


def _add_examples(found: dict[str, Any]) -> None:
    """Beside every schema that has one, and in what is answered."""
    for name, schema in found["components"]["schemas"].items():
        if (model := name.partition("-")[0]) in examples():
            schema["examples"] = [examples()[model]]
    for path, operations in found["paths"].items():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                for content in answer.get("content", {}).values() if status.startswith("2") else ():
                    if (example := answered(path, content.get("schema", {}))) is not None:
                        content["example"] = example


def _add_door(found: dict[str, Any]) -> None:
    """Who may come in, and by what: see :class:`status.door.Door`."""
    found["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "`davylamp token new NAME` makes one."},
        "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "`/login` gives it for a token."},
    }
    found["components"]["parameters"] = {"actor": ACTOR}
    found["security"] = [{"token": []}, {"session": []}, {}]
    for path, operations in found["paths"].items():
        for operation in operations.values():
            if path in PROBES:
                operation["security"] = []
            else:
                operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/actor"})
