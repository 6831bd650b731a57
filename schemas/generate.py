"""Write what follows from the contract's code: `make schemas`. A test compares it with what is committed.

JSON Schemas into `schemas/json`, and the table of the rollout machine into `docs/reference/machine.md`.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from schemas.decisions import EntryKind
from schemas.entry_rules import RULES
from schemas.messages import SCHEMAS
from schemas.standing import TRANSITIONS


def render(name: str) -> str:
    """The JSON Schema of one message, as the file `json/<name>.schema.json` holds it.

    Keys a schema does not know are allowed: these files are for readers in any language, and readers ignore them
    within a major version.
    """
    schema = SCHEMAS[name].model_json_schema(by_alias=True)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **_open(schema)}
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _open(node: Any) -> Any:
    if isinstance(node, dict):
        return {k: _open(v) for k, v in node.items() if (k, v) != ("additionalProperties", False)}
    return [_open(item) for item in node] if isinstance(node, list) else node


def folder() -> Path:
    """Where the generated files lie."""
    return Path(str(files("schemas"))) / "json"


def render_machine() -> str:
    """The legal transitions of the ledger, as a Markdown table."""
    kinds = [kind for kind in get_args(EntryKind) if any(kind in row for row in TRANSITIONS.values())]
    lines = [
        "# The rollout machine",
        "",
        "Phase (row) × kind of the next ledger entry (column) → phase after it. What has no cell is void for every reader.",
        "`freeze` and `unfreeze` are legal everywhere and change no phase; a frozen service takes no `start`. A `start` at",
        "stage 0 leads to `pending`. `rollback` holds at any head of its rollout; every other entry must follow the head.",
        "",
        f"| | {' | '.join(f'`{kind}`' for kind in kinds)} |",
        f"|---|{'---|' * len(kinds)}",
    ]
    for phase, row in TRANSITIONS.items():
        cells = " | ".join(str(row[kind]).replace("_", " ") if kind in row else "" for kind in kinds)
        lines.append(f"| **{(phase or 'no rollout').replace('_', ' ')}** | {cells} |")
    return "\n".join([*lines, "", *_rules(), "", f"Written by `make schemas` from {_MACHINE}.", ""])


_MACHINE = "`_standing.py` and `_entry_rules.py` of the SDK"


def _rules() -> list[str]:
    rows = [f"| `{kind}` | {rule.stage} | {rule.share} |" for kind, rule in RULES.items()]
    return [
        "What an entry says must follow from the plan and service that `start` embeds, else it is void too: baseline and canary",
        "are the rollout's own from its start to its end, and stage and share are, by kind:",
        "",
        "| | stage | share of new sessions to the canary |",
        "|---|---|---|",
        *rows,
    ]


def machine_file() -> Path:
    """Where the machine's table lies in a checkout."""
    return folder().parents[1] / "docs" / "reference" / "machine.md"


def main() -> None:
    """Write everything."""
    for name in SCHEMAS:
        (folder() / f"{name}.schema.json").write_text(render(name), encoding="utf-8")
    machine_file().write_text(render_machine(), encoding="utf-8")


if __name__ == "__main__":
    main()
