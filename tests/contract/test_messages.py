"""Schemas, examples and topics: everything in the contract is proven used."""

import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from schemas.decisions import LedgerEntry
from schemas.generate import folder, machine_file, render, render_machine
from schemas.messages import SCHEMAS
from schemas.topics import Topic, load_topics

EXAMPLES = sorted((folder().parent / "examples").glob("*/*.json"))


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_committed_schema_is_the_one_the_model_generates(name: str) -> None:
    committed = (folder() / f"{name}.schema.json").read_text(encoding="utf-8")
    assert committed == render(name), "run `python -m schemas.generate`"


def test_the_committed_table_of_the_machine_is_the_one_the_code_makes() -> None:
    assert machine_file().read_text(encoding="utf-8") == render_machine(), "run `make schemas`"


def test_no_schema_file_lies_about_unused() -> None:
    assert {p.name.removesuffix(".schema.json") for p in folder().iterdir()} == set(SCHEMAS)


def test_every_message_has_an_example_and_every_example_a_message() -> None:
    assert {p.parent.name for p in EXAMPLES} == set(SCHEMAS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_an_example_passes_the_schema_and_survives_the_model_unchanged(path: Path) -> None:
    raw = path.read_text(encoding="utf-8")
    jsonschema.validate(json.loads(raw), json.loads(render(path.parent.name)))
    assert json.loads(SCHEMAS[path.parent.name].read(raw).dump()) == json.loads(raw)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_readers_ignore_what_a_newer_writer_adds_and_writers_refuse_it(path: Path) -> None:
    newer = {**json.loads(path.read_text(encoding="utf-8")), "from_the_future": 1}
    model = SCHEMAS[path.parent.name]
    assert model.read(json.dumps(newer)).dump() == model.read(path.read_text(encoding="utf-8")).dump()
    jsonschema.validate(newer, json.loads(render(path.parent.name)))
    with pytest.raises(ValidationError, match="from_the_future"):
        model.model_validate(newer)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_another_major_version_is_refused(path: Path) -> None:
    example = json.loads(path.read_text(encoding="utf-8"))
    if "v" not in SCHEMAS[path.parent.name].model_fields:
        return
    with pytest.raises(ValidationError, match="v"):
        SCHEMAS[path.parent.name].read(json.dumps({**example, "v": 2}))


def test_the_examples_of_the_ledger_form_a_chain_with_derived_ids() -> None:
    start, rollback = (
        LedgerEntry.read((folder().parent / "examples/ledger-entry.v1" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("start", "rollback")
    )
    assert start.id == start.derived_id()
    assert rollback.id == rollback.derived_id()
    assert rollback.after == start.id


def test_every_topic_names_a_known_schema() -> None:
    named = {spec.schema_name for spec in load_topics().values()} - {None}
    assert named <= set(SCHEMAS)


def test_windows_and_stage_clocks_need_broker_time_on_every_topic_that_decides() -> None:
    for name, spec in load_topics().items():
        if name != "mcp-requests.dlq":
            assert spec.config["message.timestamp.type"] == "LogAppendTime", name


def test_the_ledger_is_kept_for_ever() -> None:
    assert load_topics()["rollout-decisions"].config["retention.ms"] == "-1"


@pytest.mark.parametrize("topic", ["cohort-windows", "proxy-reports"])
def test_what_a_decision_rests_on_is_kept_for_thirty_days(topic: Topic) -> None:
    """So long after a rollout `davylamp verify` still recomputes its entries."""
    assert load_topics()[topic].config["retention.ms"] == str(30 * 24 * 60 * 60 * 1000)
