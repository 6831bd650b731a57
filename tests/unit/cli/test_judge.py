"""`davylamp judge`: files in, JSON and an exit code out."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from cli.terminal import for_programs
from schemas.windows import CohortWindow
from tests.builders import plan
from tests.unit.judge.policies.kayenta_golden import carried
from tests.unit.judge.policies.made_windows import constant
from tests.unit.judge.policies.made_windows import window as made

CASES = {case.id: case.values[0] for case in carried("09-import.json", "judge")}
OUTAGE, HEALTHY = constant(60, (99, 1), (5, 5)), constant(240, (380, 4), (380, 4))


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ["judge", *arguments], input=given)


def written(folder: Path, name: str, content: Any) -> str:
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(file)


def lines(windows: list[CohortWindow]) -> str:
    return "".join(each.dump().decode() + "\n" for each in windows)


@pytest.fixture
def plan_file(tmp_path: Path) -> str:
    return written(tmp_path, "plan.yaml", plan(checks={"error_rate": {"within": "5pp"}}).dump().decode())


@pytest.mark.parametrize(("case", "code"), [("import-a-good", 0), ("import-a-bad", 3), ("import-b", 4)])
def test_kayentas_verdict_is_json_and_an_exit_code(case: str, code: int, tmp_path: Path) -> None:
    got = run("--policy", "kayenta", written(tmp_path, "case.json", CASES[case]))
    assert got.exit_code == code, got.output
    said = json.loads(got.stdout)
    assert said["policy"] == "kayenta"
    assert said["score"]["classification"] == CASES[case]["expected"]["score"]["classification"]
    assert said["groupScores"] == pytest.approx(CASES[case]["expected"]["groupScores"])


def test_a_marginal_score_is_undecided(tmp_path: Path) -> None:
    case = {**CASES["import-a-good"], "scoreThresholds": {"pass": 101, "marginal": 1}}
    got = run("--policy", "kayenta", written(tmp_path, "case.json", case))
    assert (got.exit_code, json.loads(got.stdout)["verdict"]) == (4, "undecided")


def test_a_document_may_come_from_stdin() -> None:
    got = run("--policy", "kayenta", "-", given=json.dumps(CASES["import-a-bad"]))
    assert got.exit_code == 3


def test_a_mistake_in_the_config_is_wrong_usage_with_its_place(tmp_path: Path) -> None:
    case = json.loads(json.dumps(CASES["import-a-good"]))
    case["config"]["metrics"][0]["analysisConfigurations"]["canary"]["critical"] = "yes"
    got = run("--policy", "kayenta", written(tmp_path, "case.json", case))
    assert (got.exit_code, got.stdout) == (2, "")
    assert "config.metrics[0].analysisConfigurations.canary.critical: 'yes' is not true or false" in got.stderr


def test_weights_that_would_let_failing_metrics_pass_are_wrong_usage(tmp_path: Path) -> None:
    case = json.loads(json.dumps(CASES["import-a-good"]))
    case["config"]["classifier"]["groupWeights"] = dict.fromkeys(case["config"]["classifier"]["groupWeights"], 1e26)
    got = run("--policy", "kayenta", written(tmp_path, "case.json", case))
    assert (got.exit_code, got.stdout) == (2, "")
    assert "config.classifier.groupWeights: add up to 3e+26, more than 100" in got.stderr


@pytest.mark.parametrize("option", ["--rule", "--baseline", "--rollout", "--telemetry"])
def test_an_option_of_windows_without_a_plan_is_wrong_usage(option: str, tmp_path: Path) -> None:
    value = "1" if option == "--rollout" else written(tmp_path, "rule.json", {})
    got = run("--policy", "kayenta", option, value, written(tmp_path, "case.json", CASES["import-a-good"]))
    assert (got.exit_code, got.stdout) == (2, "")
    assert f"{option} means nothing without --plan" in got.stderr


def test_a_threshold_document_may_be_yaml(tmp_path: Path) -> None:
    document = """
      rule: argo
      metrics: [{name: errors, interval: 1m, successCondition: result < 0.05, failureLimit: 1}]
      measurements: {errors: [0.01, 0.2, null, 0.3]}
    """
    got = run("--policy", "threshold", written(tmp_path, "rule.yaml", document))
    assert got.exit_code == 3
    assert json.loads(got.stdout)["message"] == 'Metric "errors" assessed Failed due to failed (2) > failureLimit (1)'


@pytest.mark.parametrize("policy", ["kayenta", "threshold", "sequential"])
@pytest.mark.parametrize(("windows", "code"), [(OUTAGE, {3, 4}), (HEALTHY, {0})])
def test_every_policy_judges_recorded_windows(
    policy: str, windows: list[CohortWindow], code: set[int], plan_file: str, tmp_path: Path
) -> None:
    got = run("--policy", policy, "--plan", plan_file, written(tmp_path, "windows.jsonl", lines(windows)))
    assert got.exit_code in code, got.output
    assert json.loads(got.stdout)["policy"] == policy


def test_windows_may_be_a_list_and_carry_what_newer_writers_add(plan_file: str, tmp_path: Path) -> None:
    newer = [json.loads(each.dump()) | {"since_v9": 1} for each in OUTAGE]
    in_list, in_lines = written(tmp_path, "w.json", newer), written(tmp_path, "w.jsonl", lines(OUTAGE))
    outputs = {run("--plan", plan_file, file).stdout for file in (in_list, in_lines)}
    assert len(outputs) == 1
    assert json.loads(outputs.pop())["breachedBy"] == "error_rate"


def test_a_rule_of_the_users_own_goes_with_the_windows(plan_file: str, tmp_path: Path) -> None:
    rule = written(tmp_path, "rule.yaml", "rule: argo\nmetrics: [{name: error_rate, successCondition: result < 0.9}]\n")
    windows = written(tmp_path, "w.jsonl", lines(OUTAGE))
    got = run(
        "--policy", "threshold", "--plan", plan_file, "--rule", rule, "--baseline", "v1", "--rollout", "1", windows
    )
    assert got.exit_code in {0, 3}
    assert json.loads(got.stdout)["metricResults"][0]["name"] == "error_rate"


@pytest.mark.parametrize(
    ("arguments", "content", "words"),
    [
        (["--policy", "kayemta"], "{}", "kayemta is no policy; known are kayenta, threshold, sequential"),
        (["--policy", "sequential"], "{}", "add --plan PLAN"),
        (["--policy", "kayenta"], "{", "neither JSON nor YAML"),
        (["--policy", "kayenta"], "[]", "is not an object"),
        (["--policy", "threshold"], "rule: flager", "known are flagger and argo"),
    ],
)
def test_what_is_not_understood_is_wrong_usage(arguments: list[str], content: str, words: str, tmp_path: Path) -> None:
    got = run(*arguments, written(tmp_path, "file", content))
    assert (got.exit_code, got.stdout) == (2, "")
    assert words in got.stderr


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        ("[{}]", "window 1 is not understood: "),
        ("{}", "window 1"),
        ("", "no final window"),
        ("{}\nx", "line 2 is no JSON: windows are one object a line"),
        ("[x]", "no JSON list"),
        ('{"v": 1, "v": 1}', "line 1: v stands twice"),
        ('[{"cells": [{"outcomes": {"ok": 1, "ok": 2}}]}]', "[0].cells[0].outcomes.ok stands twice"),
        ('\n{"instance": "\\ud800"}', "line 2: '\\ud800' is no text: it holds half a character"),
        ('{"partition": ' + "9" * 400 + "}", "line 1: a number of 400 digits"),
        ('{"partition": ' + "9" * 5000 + "}", "line 1: Exceeds the limit"),
    ],
)
def test_windows_that_are_none_are_wrong_usage(windows: str, words: str, plan_file: str, tmp_path: Path) -> None:
    got = run("--plan", plan_file, written(tmp_path, "w.jsonl", windows))
    assert got.exit_code == 2
    assert words in got.stderr


def test_a_plan_with_mistakes_and_a_file_that_is_not_there_are_wrong_usage(tmp_path: Path) -> None:
    windows = written(tmp_path, "w.jsonl", lines(OUTAGE))
    got = run("--plan", written(tmp_path, "plan.yaml", "service: orders\ncanery: v2\n"), windows)
    assert got.exit_code == 2
    assert "canery: is not known here; did you mean canary?" in got.stderr
    gone = run("--policy", "kayenta", str(tmp_path / "nowhere.json"))
    assert gone.exit_code == 2
    assert "nowhere.json" in gone.stderr


def changed(name: str, value: Any) -> str:
    """Windows of which the second says something that no traffic can have made."""
    windows = [json.loads(each.dump()) for each in HEALTHY]
    windows[1]["cells"][0][name] = value
    return json.dumps(windows)


@pytest.mark.parametrize("policy", ["kayenta", "threshold", "sequential"])
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("buckets", {"3": {"n": 1, "err": 2}}, "cells[0].buckets.3: 2 errors of 1 requests"),
        ("tools", {"search": {"n": 1, "bad": 2}}, "cells[0].tools.search: 2 failed calls of 1"),
        (
            "metrics",
            {"tokens": {"n": 1, "micro": float("nan")}},
            "window 2 is not understood: cells.0.metrics.tokens.micro",
        ),
        ("tool_calls", -1, "window 2 is not understood: cells.0.tool_calls"),
    ],
)
def test_counts_that_are_impossible_are_named_and_nothing_is_judged(
    policy: str, name: str, value: Any, words: str, plan_file: str, tmp_path: Path
) -> None:
    got = run("--policy", policy, "--plan", plan_file, written(tmp_path, "windows.json", changed(name, value)))
    assert (got.exit_code, got.stdout) == (2, "")
    assert words in got.stderr


def test_a_metric_that_can_no_longer_be_judged_is_named_and_is_no_pass(tmp_path: Path) -> None:
    metric = {"n": 96, "micro": 2**62, "buckets": {str(i): {"n": 12, "micro": 2**59} for i in range(8)}}
    windows = [json.loads(each.dump()) for each in HEALTHY]
    for window in windows:
        for one in window["cells"]:
            one["metrics"] = {"tokens": metric}
    checks = {"error_rate": {"within": "5pp"}, "tokens": {"kind": "rate", "within": "1pp"}}
    asked = written(tmp_path, "plan.yaml", plan(checks=checks).dump().decode())
    got = run("--plan", asked, written(tmp_path, "windows.json", json.dumps(windows)))
    assert got.exit_code == 4, got.output
    said = json.loads(got.stdout)
    assert (said["verdict"], said["within"], said["unjudged"]) == ("undecided", True, ["tokens"])


DEEP = "[" * 100_000 + "]" * 100_000
DIGITS = "9" * 400


@pytest.mark.parametrize(
    ("policy", "content", "words"),
    [
        ("kayenta", DEEP, "nested more than 100 deep"),
        ("threshold", "[" * 3_000 + "]" * 3_000, "nested more than 100 deep"),
        ("threshold", "a: " + "[" * 3_000 + "]" * 3_000, "nested more than 100 deep"),
        ("kayenta", f'{{"metrics": [{DIGITS}]}}', "a number of 400 digits"),
        ("threshold", f"measurements: {{a: [{DIGITS}]}}", "a number of 400 digits"),
        ("kayenta", r'{"config": "\ud800"}', "half a character"),
        ("kayenta", '{"config": {"m": [{"critical": true, "critical": false}]}}', "config.m[0].critical stands twice"),
    ],
)
def test_what_nothing_else_can_hold_is_wrong_usage(policy: str, content: str, words: str, tmp_path: Path) -> None:
    got = run("--policy", policy, written(tmp_path, "file", content))
    assert (got.exit_code, got.stdout) == (2, "")
    assert words in got.stderr


def test_windows_that_are_nested_without_end_are_wrong_usage(plan_file: str, tmp_path: Path) -> None:
    got = run("--plan", plan_file, written(tmp_path, "w.jsonl", DEEP))
    assert (got.exit_code, got.stdout) == (2, "")
    assert "nested more than 100 deep" in got.stderr


@pytest.mark.parametrize("policy", ["kayenta", "threshold", "sequential"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--baseline", "v2"], "baseline v2 is the canary"),
        (["--baseline", "zzz"], "baseline zzz is not in the windows; they name v1"),
        (["--rollout", "99"], "rollout 99 is not in the windows; they name 1"),
        (["--rollout", "-1"], "rollout -1 is not in the windows"),
    ],
)
def test_a_name_that_the_windows_do_not_say_is_wrong_usage(
    policy: str, options: list[str], words: str, plan_file: str, tmp_path: Path
) -> None:
    got = run("--policy", policy, "--plan", plan_file, *options, written(tmp_path, "w.jsonl", lines(OUTAGE[:3])))
    assert (got.exit_code, got.stdout) == (2, "")
    assert words in got.stderr


def test_score_thresholds_of_a_config_count_over_windows_too(plan_file: str, tmp_path: Path) -> None:
    def score(**classifier: Any) -> str:
        metrics = [{"name": "error_rate", "groups": ["g"]}]
        config = {"metrics": metrics, "classifier": {"groupWeights": {"g": 100}, **classifier}}
        windows = written(tmp_path, "windows.jsonl", lines(constant(240, (99, 1), (5, 5))))
        rule = written(tmp_path, "rule.json", config)
        return str(
            json.loads(run("--policy", "kayenta", "--plan", plan_file, "--rule", rule, windows).stdout)["verdict"]
        )

    assert score() == "fail"
    assert score(scoreThresholds={"pass": 0, "marginal": 0}) == "undecided"


@pytest.mark.parametrize(
    ("policy", "rule", "words"),
    [
        (
            "threshold",
            {"rule": "argo", "metrics": [{"name": "error_rate", "interval": "1ms"}]},
            "error_rate: interval is below 1 s: windows tell nothing new so soon",
        ),
        (
            "threshold",
            {"rule": "argo", "metrics": [{"name": "error_rate"}], "measurements": {"error_rate": [1]}},
            "measurements: the windows are what was measured",
        ),
        (
            "kayenta",
            {"metrics": [{"name": "error_rate", "groups": ["g"]}] * 2, "classifier": {}},
            "config.metrics[1].name: 'error_rate' is the name of an earlier metric",
        ),
        (
            "kayenta",
            {"metrics": [{"name": "error_rate"}], "classifier": {"scoreThresholds": {"pass": 50, "marginal": 90}}},
            "scoreThresholds.marginal: 90 lies above pass (50)",
        ),
    ],
)
def test_a_rule_that_contradicts_itself_or_the_windows_is_wrong_usage(
    policy: str, rule: dict[str, Any], words: str, plan_file: str, tmp_path: Path
) -> None:
    windows = written(tmp_path, "w.jsonl", lines(OUTAGE[:3]))
    got = run("--policy", policy, "--plan", plan_file, "--rule", written(tmp_path, "rule", rule), windows)
    assert (got.exit_code, got.stdout) == (2, "")
    assert words in got.stderr


@pytest.mark.parametrize("policy", ["kayenta", "threshold", "sequential"])
def test_windows_that_no_topic_holds_are_wrong_usage(policy: str, plan_file: str, tmp_path: Path) -> None:
    other = OUTAGE[1].model_copy(update={"cells": HEALTHY[1].cells})
    cut, doubled = (
        OUTAGE[3].model_copy(update={"parts": 2}),
        OUTAGE[0].model_copy(update={"cells": OUTAGE[0].cells * 2}),
    )
    for told, words in (
        (OUTAGE[::-1], "window 1290000 of mcp-requests-0: it stands after 1295000"),
        ([*OUTAGE, other], "window 1005000 of mcp-requests-0: it stands twice, with other counts"),
        ([*OUTAGE[:3], cut, *OUTAGE[4:]], "window 1015000 of mcp-requests-0: part 2 of 2 is missing"),
        ([doubled], "window 1000000 of mcp-requests-0: cells[2]: its version and label are those of cells[0]"),
    ):
        got = run("--policy", policy, "--plan", plan_file, written(tmp_path, "w.jsonl", lines(told)))
        assert (got.exit_code, got.stdout) == (2, "")
        assert words in got.stderr
    empty = made(-1, first_offset=0, through=0)
    usual = [*OUTAGE[:-1], *OUTAGE[:9], empty, OUTAGE[-1].model_copy(update={"parts": 2})]
    again = run("--policy", policy, "--plan", plan_file, written(tmp_path, "w.jsonl", lines(usual)))
    assert again.exit_code in {3, 4}


@pytest.mark.parametrize("rule", ["[1]", "5", "null", ""])
def test_a_rule_that_is_no_object_is_not_dropped(rule: str, plan_file: str, tmp_path: Path) -> None:
    windows = written(tmp_path, "w.jsonl", lines(OUTAGE[:3]))
    got = run("--policy", "kayenta", "--plan", plan_file, "--rule", written(tmp_path, "rule", rule), windows)
    assert (got.exit_code, got.stdout) == (2, "")
    assert "--rule is not an object" in got.stderr


def test_a_metric_that_would_take_a_check_s_place_is_wrong_usage(tmp_path: Path) -> None:
    text = "{service: orders, canary: v2, checks: {custom: {error_rate: {kind: rate}}}}"
    windows = written(tmp_path, "w.jsonl", lines(OUTAGE[:3]))
    got = run("--plan", written(tmp_path, "plan.yaml", text), windows)
    assert got.exit_code == 2
    assert "`error_rate` is a name of davylamp's own" in got.stderr


def test_a_name_that_the_terminal_cannot_write_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert json.loads(for_programs({"name": "größe"})) == {"name": "größe"}
    assert for_programs({"name": "größe"}).isascii()
