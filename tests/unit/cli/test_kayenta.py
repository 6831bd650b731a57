"""`davylamp kayenta import`: a plan on stdout, nothing dropped without a word."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from cli.main import app
from schemas.plan import Plan
from tests.unit.judge.policies.kayenta_golden import carried

CONFIG = next(case.values[0]["config"] for case in carried("09-import.json", "judge") if case.id == "import-a-good")
MAPPED = ("--map", "tool call errors=error_rate", "--map", "tool call p95=latency_p99")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["kayenta", "import", str(folder / "config.json"), "--canary", "v2", *arguments])


def rewritten(folder: Path, **changes: Any) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))


def test_what_it_writes_is_a_plan_and_check_accepts_it(folder: Path) -> None:
    got = run(folder, *MAPPED)
    assert got.exit_code == 0, got.output
    plan = Plan.model_validate(yaml.safe_load(got.stdout))
    assert (plan.service, plan.canary) == ("weather-mcp", "v2")
    assert plan.checks.latency_p99.within == pytest.approx(0.2)
    (folder / "plan.yaml").write_text(got.stdout)
    assert CliRunner().invoke(app, ["check", str(folder / "plan.yaml")]).exit_code == 0


def test_every_metric_is_named_in_the_plan_and_what_is_lost_on_the_terminal_too(folder: Path) -> None:
    got = run(folder, *MAPPED)
    for metric in CONFIG["metrics"]:
        assert f"# {metric['name']!r} → " in got.stdout
    assert "# 'sessions opened' → NOT TAKEN OVER" in got.stdout
    assert "not taken over: 'sessions opened': its prometheus query is not read here" in got.stderr
    remarks = [line for line in got.stdout.splitlines() if line.startswith("# ! ")]
    assert remarks
    assert all(line.removeprefix("# ! ") in got.stderr for line in remarks)


def test_the_stage_that_used_the_config_is_read_too(folder: Path) -> None:
    stage = {"type": "kayentaCanary", "canaryConfig": {"scoreThresholds": {"pass": "95", "marginal": "75"}}}
    (folder / "stage.json").write_text(json.dumps(stage))
    got = run(folder, "--stage", str(folder / "stage.json"))
    assert got.exit_code == 0
    assert "pass 95 and marginal 75 decide nothing here" in got.stdout
    assert "pass 95 and marginal 75 decide nothing here" in got.stderr


def test_what_stands_in_a_config_cannot_leave_its_comment(folder: Path) -> None:
    rewritten(folder, **{"x\nobserve: true\n#": 1, "classifier": {"groupWeights": {"g\n\x1b[2Jcanary: evil": 1}}})
    got = run(folder)
    assert got.exit_code == 0
    assert yaml.safe_load(got.stdout) == {"service": "weather-mcp", "canary": "v2"}
    assert "\x1b" not in got.stdout + got.stderr


def test_without_a_single_application_the_service_must_be_said(folder: Path) -> None:
    for applications in (["ad-hoc"], ["a", "b"]):
        rewritten(folder, applications=applications)
        got = run(folder)
        assert (got.exit_code, got.stdout) == (2, "")
        assert "add --service NAME" in got.stderr
        assert run(folder, "--service", "weather").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--service", "Weather MCP"), "service"),
        (("--map", "errors"), "write it like 'tool call errors=error_rate'"),
        (("--map", "x=error_rate"), "is no metric or query of the config"),
        (
            (*MAPPED, "--map", "tool call errors=tool_success"),
            "--map 'tool call errors': it stands twice, for different",
        ),
        (("--stage", "/nowhere.json"), "/nowhere.json"),
    ],
)
def test_what_is_not_understood_is_wrong_usage(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    got = run(folder, *arguments)
    assert (got.exit_code, got.stdout) == (2, "")
    assert words in got.stderr


def test_more_metrics_than_a_plan_holds_are_wrong_usage(folder: Path) -> None:
    rewritten(folder, metrics=[{"name": f"m{i}"} for i in range(9)])
    got = run(folder, *(word for i in range(9) for word in ("--map", f"m{i}=mean:m{i}")))
    assert (got.exit_code, got.stdout) == (2, "")
    assert got.stderr.endswith("checks.custom: must have at most 8\n")


def test_a_config_with_wrong_types_is_refused_as_a_whole(folder: Path) -> None:
    rewritten(folder, metrics=[{"name": "m", "analysisConfigurations": {"canary": {"muted": "no"}}}], templates=[])
    got = run(folder)
    assert (got.exit_code, got.stdout) == (2, "")
    assert "config.templates" in got.stderr
    assert "config.metrics[0].analysisConfigurations.canary.muted: 'no' is not true or false" in got.stderr


def test_a_file_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("metrics: []")
    got = run(folder)
    assert got.exit_code == 2
    assert "is no JSON" in got.stderr


def test_a_query_may_hold_the_sign_that_separates(folder: Path) -> None:
    query = CONFIG["metrics"][0]["query"]["customInlineTemplate"]
    assert "=" in query
    assert "'tool call errors' → error_rate" in run(folder, "--map", f"{query}=error_rate").stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "the canary config: lists and objects are nested more than 100 deep"),
        ('{"metrics": [], "metrics": []}', "the canary config: metrics stands twice"),
        ("{", "the canary config is no JSON"),
    ],
)
def test_what_cannot_be_read_is_wrong_usage(folder: Path, text: str, words: str) -> None:
    (folder / "config.json").write_text(text)
    got = run(folder)
    assert (got.exit_code, got.stdout) == (2, "")
    assert words in got.stderr
