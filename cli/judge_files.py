"""What `davylamp judge` makes of the text of its files. Pure; whatever is not understood is a ``ValueError`` that says why."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from cli.strict_yaml import read_yaml
from davylamp_sdk._message import Message
from judge.offline import POLICIES, OfflinePolicy, Report, Rule
from judge.recorded import Recorded
from schemas.documents import read_json
from schemas.plan import WRITTEN, Plan
from schemas.windows import CohortWindow
from status.mistakes import mistakes

M = TypeVar("M", bound=Message)


def judge_document(policy: str, text: str) -> Report:
    """A policy over what brings its own measurements: JSON or YAML."""
    chosen = _known(policy)
    if chosen.of_document is None:
        raise ValueError(f"{policy} judges windows: add --plan PLAN")
    return chosen.of_document(parsed(text))


def judge_windows(
    policy: str,
    windows: str,
    plan: str,
    rule: str | None = None,
    baseline: str | None = None,
    rollout: int | None = None,
    telemetry: str | None = None,
) -> Report:
    """A policy over recorded windows, a JSON list or a line each, as the judge would have compared them."""
    chosen = _known(policy)
    wanted = _understood(Plan, parsed(plan), "the plan", context=WRITTEN)
    recorded = Recorded(_windows(windows), wanted, baseline, rollout, telemetry)
    return chosen.of_windows(recorded, None if rule is None else _rule(rule))


def parsed(text: str) -> Any:
    """JSON, or YAML where it is none: JSON is read a hundred times faster as what it is."""
    try:
        return read_json(text)
    except json.JSONDecodeError:
        pass
    try:
        return read_yaml(text)
    except yaml.YAMLError as error:
        raise ValueError(f"neither JSON nor YAML: {error}") from error


def _rule(text: str) -> Rule:
    found = parsed(text)
    if not isinstance(found, Mapping):
        raise ValueError(f"--rule is not an object but {type(found).__name__}: leave it out to judge by the plan")  # noqa: TRY004 - one kind of refusal
    return found


def _known(policy: str) -> OfflinePolicy:
    if policy not in POLICIES:
        raise ValueError(f"{policy} is no policy; known are {', '.join(POLICIES)}")
    return POLICIES[policy]


def _windows(text: str) -> list[CohortWindow]:
    """As readers take them: what a newer writer added does not matter."""
    whole = text.lstrip().startswith("[")
    try:
        raw = read_json(text) if whole else list(_lines(text))
    except json.JSONDecodeError as error:
        raise ValueError(f"the windows are no JSON list: {error}") from error
    return [_understood(CohortWindow, item, f"window {number}", extra="ignore") for number, item in enumerate(raw, 1)]


def _lines(text: str) -> Iterator[Any]:
    for number, line in enumerate(text.splitlines(), 1):
        try:
            yield from [read_json(line)] if line.strip() else []
        except json.JSONDecodeError as error:
            raise ValueError(
                f"line {number} is no JSON: windows are one object a line, or a JSON list of them"
            ) from error
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error


def _understood(model: type[M], content: Any, what: str, extra: Any = None, context: Any = None) -> M:
    try:
        return model.model_validate(content, extra=extra, context=context)
    except ValidationError as error:
        found = "; ".join(map(str, mistakes(error.errors(), model)))
        raise ValueError(f"{what} is not understood: {found}") from error
