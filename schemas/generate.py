"""Write the JSON Schemas of the contract: `python -m schemas.generate`. A test compares them with the models."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from schemas.messages import SCHEMAS


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


def main() -> None:
    """Write every schema."""
    for name in SCHEMAS:
        (folder() / f"{name}.schema.json").write_text(render(name), encoding="utf-8")


if __name__ == "__main__":
    main()
