"""Topics as data: what each one holds, who writes and reads it, how long it is kept."""

from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import Field

from davylamp_sdk._message import Message

Topic = Literal[
    "mcp-requests",
    "mcp-requests.dlq",
    "cohort-windows",
    "proxy-reports",
    "rollout-commands",
    "rollout-decisions",
    "route-changes",
    "rollouts",
    "services",
]

REPLAYED = "davylamp-replayed"
"""Header of telemetry that was sent again, of the note of it beside the dead letter, and of the letter that it became where nobody
could read it either: where the message came from, as ``<topic>-<partition>@<offset>``. Not the letter's id, for a worker that was
killed before its commit keeps the message again, as another letter."""


class TopicSpec(Message):
    """One file of `topics/`."""

    name: Topic
    description: str
    key: str
    schema_name: str | None = Field(
        alias="schema", description="A file of `json/` without its ending; None: any bytes."
    )
    partitions: Literal["telemetry", "control"]
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]
    config: dict[str, str]


@cache
def load_topics() -> dict[Topic, TopicSpec]:
    """Every topic, by name."""
    folder = files("schemas") / "topics"
    specs = [
        TopicSpec.model_validate(yaml.safe_load(f.read_text())) for f in folder.iterdir() if f.name.endswith(".yaml")
    ]
    return {spec.name: spec for spec in sorted(specs, key=lambda s: s.name)}
