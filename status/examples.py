"""What the API's description shows: an example of everything that is sent to it, and of everything that it answers."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

WORD = {"reason": "errors in the field", "seen": "5f0c2a9d5f0c2a9d5f0c2a9d5f0c2a9d"}

_SENT: dict[str, Any] = {
    "Word": WORD,
    "Return": {**WORD, "mode": "drain"},
    "Promotion": {**WORD, "full": False},
    "Approving": {**WORD, "approves": "2"},
    "Forgetting": {"reason": "the machine is gone", "proxy": "edge-3"},
}
_ANSWERED: dict[str, Any] = {
    "Answer": {"command": "9f86d081884c7d65", "sentence": "anna held it: errors in the field."},
    "Series": {
        "service": "orders",
        "rollout": 1,
        "step_ms": 15_000,
        "starts": [1795485600000, 1795485615000],
        "charts": [
            {
                "name": "error_rate",
                "unit": "part",
                "baseline": {"value": [0.006, 0.007], "low": [0.003, 0.004], "high": [0.011, 0.012]},
                "canary": {"value": [None, 0.009], "low": [None, 0.001], "high": [None, 0.05]},
                "limit": [0.011, 0.012],
            }
        ],
    },
    "ServiceFacts": {
        "service": "orders",
        "rollout": 1,
        "baseline_sessions": 594,
        "canary_sessions": 6,
        "ratio": {
            "stage": 1,
            "asked": 100,
            "telemetry": {"baseline": 594, "canary": 6, "fits": True},
            "proxies": {"baseline": 596, "canary": 6, "fits": True},
        },
        "under_way": {"v1": 12, "v2": 1},
        "left": {"version": "v2", "began": 6, "at_most": 4},
        "tools": [
            {
                "name": "refund",
                "baseline": {"n": 200, "bad": 2},
                "canary": {"n": 10, "bad": 4},
                "difference": 0.39,
                "culprit": True,
            }
        ],
    },
    "ServiceHealth": {
        "service": "orders",
        "stations": [{"name": "Judge", "health": "good", "value": "looked 0.4 s ago", "detail": "every second"}],
    },
    "ServiceProxy": {
        "service": "orders",
        "route": {"proxy": "edge-0", "state": "acknowledged", "connected": True},
        "routers": ["router-a", "router-b"],
    },
}
_FILES = {
    "Plan": "plan.v1/careful.json",
    "Service": "service.v1/two-versions.json",
    "RolloutView": "rollout-view.v1/collecting.json",
    "RouteChange": "route-change.v1/acknowledged.json",
    "LedgerEntry": "ledger-entry.v1/rollback.json",
}
BY_PATH: dict[str, Any] = {
    "/healthz": {"status": "ok"},
    "/readyz": {"status": "ok"},
    "/api/rollouts/{service}/text": "orders v1 → v2: rolled back\n",
    "/metrics": 'davylamp_rollout_score{service="orders"} 80\n',
}
"""What is answered without a model of its own."""


@cache
def examples() -> dict[str, Any]:
    """By the name of the schema."""
    folder = files("schemas") / "examples"
    read = {name: json.loads((folder / file).read_text(encoding="utf-8")) for name, file in _FILES.items()}
    status = {
        "service": "orders",
        "definition": read["Service"],
        "rollout": read["RolloutView"],
        "route": read["RouteChange"],
        "ledger": [json.loads((folder / "ledger-entry.v1/approve.json").read_text(encoding="utf-8"))],
        "confirmed": [],
        "telemetry": "mcp-requests",
    }
    return {**_SENT, **_ANSWERED, **read, "RolloutStatus": status}


def answered(path: str, schema: dict[str, Any]) -> Any:
    """An example of what `schema` describes; None if there is none."""
    if path in BY_PATH:
        return BY_PATH[path]
    if schema.get("type") == "array":
        return [examples()[_named(schema["items"])]]
    return examples().get(_named(schema))


def _named(schema: dict[str, Any]) -> str:
    """What is read and what is written of one model may be two: `Plan-Input`, `Plan-Output`."""
    return str(schema.get("$ref", "")).rpartition("/")[2].partition("-")[0]
