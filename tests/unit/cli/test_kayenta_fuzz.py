"""Whatever stands in a canary config, a request or a window: an answer, or a refusal with its place; never a traceback."""

import contextlib
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from cli.main import app
from judge.policies.kayenta.settings import ConfigError
from judge.policies.kayenta.wire import judge_remotely
from tests.builders import plan
from tests.unit.judge.policies.kayenta_golden import carried
from tests.unit.judge.policies.made_windows import constant
from tests.unit.judge.test_remote import request

CASES = {case.id: case.values[0] for case in carried("09-import.json", "judge")}
CONFIGS = [case["config"] for case in CASES.values()]
DOCUMENTS = [{key: case[key] for key in ("config", "scoreThresholds", "metrics")} for case in CASES.values()]
REQUESTS = [request(case) for case in CASES]
WINDOWS = [json.loads(each.dump()) for each in constant(3, (380, 4), (380, 4))]
SEVERAL = {"configVersion": {"text", "number"}}
"""Keys of which more than one type is right."""
OR_NULL = {"judge", "scoreThresholds", "labelBindings", "groupByFields"}

Keys = tuple[str | int, ...]
few = settings(max_examples=25, deadline=None)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([10**30, -1e300, 0.5]) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=3,
)


def places(content: Any, at: Keys = ()) -> Iterator[Keys]:
    """Of long lists the first two items stand for all."""
    yield at
    inner = (
        content.items() if isinstance(content, dict) else enumerate(content[:2]) if isinstance(content, list) else ()
    )
    for key, value in inner:
        yield from places(value, (*at, key))


@st.composite
def mutated(draw: st.DrawFn, contents: list[Any]) -> tuple[Any, Keys, Any, Any]:
    """One of them with another value at one place; where that is, the value, and what stood there."""
    content = copy.deepcopy(draw(st.sampled_from(contents)))
    at, value = draw(st.sampled_from(list(places(content)))), draw(values)
    if not at:
        return value, at, value, content
    holder = content
    for key in at[:-1]:
        holder = holder[key]
    before, holder[at[-1]] = holder[at[-1]], value
    return content, at, value, before


def path(at: Keys) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in at).removeprefix(".")


def kind(value: Any) -> str:
    kinds = {bool: "flag", int: "number", float: "number", str: "text", list: "list", dict: "object"}
    return kinds.get(type(value), "null")


def is_of_another_type(at: Keys, value: Any, before: Any) -> bool:
    """Null in place of a value without parts says nothing, as in Kayenta, nor where Kayenta itself may write it."""
    if value is None:
        return isinstance(before, list | dict) and str(at[-1] if at else "") not in OR_NULL
    return kind(value) not in SEVERAL.get(str(at[-1]) if at else "", {kind(before)})


def assert_refused(got: Result, place: str) -> None:
    assert (got.exit_code, got.stdout) == (2, "")
    assert place in got.stderr
    assert "Traceback" not in got.stderr


def run(*arguments: str, given: str | None = None) -> Result:
    got = CliRunner().invoke(app, arguments, input=given)
    assert got.exception is None or isinstance(got.exception, SystemExit), got.exception
    return got


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("fuzz")
    (found / "plan.yaml").write_bytes(plan(checks={"error_rate": {"within": "5pp"}}).dump())
    return found


@few
@given(change=mutated(CONFIGS))
def test_a_config_is_taken_over_with_each_of_its_metrics_or_refused_with_the_place(
    folder: Path, change: tuple[Any, Keys, Any, Any]
) -> None:
    config, at, value, before = change
    (folder / "config.json").write_text(json.dumps(config))
    got = run("kayenta", "import", str(folder / "config.json"), "--canary", "v2", "--service", "orders")
    if got.exit_code or is_of_another_type(at, value, before):
        assert_refused(got, path(("config", *at)) if is_of_another_type(at, value, before) else "config")
        return
    assert yaml.safe_load(got.stdout)["service"] == "orders"
    assert got.stdout.count(" → ") >= len(config["metrics"])


@few
@given(change=mutated(DOCUMENTS))
def test_a_document_is_judged_with_each_of_its_metrics_or_refused_with_the_place(
    change: tuple[Any, Keys, Any, Any],
) -> None:
    document, at, value, before = change
    got = run("judge", "--policy", "kayenta", "-", given=json.dumps(document))
    if got.exit_code == 2:
        assert_refused(got, path(at) if at and is_of_another_type(at, value, before) else "")
        return
    said = json.loads(got.stdout)
    told = {result["name"] for result in said["results"]} | {*said.get("unjudged", ())}
    unmuted = [m for m in document["config"]["metrics"] if '"muted": true' not in json.dumps(m)]
    assert {metric["name"] for metric in unmuted} <= told
    assert not (said["verdict"] == "pass" and said.get("unjudged"))


@few
@given(change=mutated(REQUESTS))
def test_a_request_of_kayenta_is_answered_or_refused(change: tuple[Any, Keys, Any, Any]) -> None:
    with contextlib.suppress(ConfigError):
        answer = judge_remotely(change[0])
        assert json.loads(json.dumps(answer, allow_nan=False)) == answer


@few
@given(change=mutated([WINDOWS]))
def test_windows_are_judged_or_refused(folder: Path, change: tuple[Any, Keys, Any, Any]) -> None:
    got = run("judge", "--plan", str(folder / "plan.yaml"), "-", given=json.dumps(change[0]))
    assert got.exit_code in {0, 2, 3, 4}
    if got.exit_code == 2:
        assert_refused(got, "-: ")
