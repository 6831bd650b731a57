"""From a canary config to a plan: what each metric becomes, what it cannot become, and why. Pure.

A query is never guessed at: which metric is which check, a person says (`mapping`). Only a metric that is called like a
check is taken for it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from judge.policies.kayenta.remarks import Remark, canary_of, remarks
from judge.policies.kayenta.settings import CanaryConfig, ConfigError, MetricSettings, read_settings
from judge.policies.kayenta.shapes import named_twice, wrong_types
from schemas.checks import Checks, LatencyCheck, RateCheck, SessionLoss
from schemas.plan import Plan
from schemas.units import format_percent, format_points

BUILT_IN = tuple(name for name in Checks.model_fields if name != "custom")
"""What a metric may become, beside ``mean:NAME`` and ``rate:NAME``: numbers that the servers send with their requests."""


_CONFIG_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one metric."""

    metric: str
    check: str | None
    """The key of the plan's check; None: it cannot be taken over."""
    details: tuple[str, ...]
    """What is different there, or why it cannot be."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A plan, and everything that a person must know of it."""

    plan: Plan
    content: Mapping[str, Any]
    """The plan as it is written: without what is left to its defaults."""
    fates: tuple[Fate, ...]
    remarks: tuple[Remark, ...]


def migrate(raw: Any, service: str | None, canary: str, mapping: Mapping[str, str]) -> Migration:
    """Take a canary config over; by default the service is its one application.

    `mapping` is from a metric's name, or the whole text of its query, to a check. Raises :class:`ConfigError` with every
    wrong type at once, and for a mapping that names no metric or no check.
    """
    wrong = (*wrong_types(raw), *_wrong_values(raw))
    if wrong:
        raise ConfigError("the canary config cannot be taken over", "; ".join(map(str, wrong)))
    config = CanaryConfig.read(raw)
    targets = _targets(config, mapping, _mapping(raw.get("templates")))
    checks: dict[str, Any] = {}
    fates = [_fate(metric, targets, checks) for metric in config.metrics]
    content: dict[str, Any] = {
        "service": service or _application(raw),
        "canary": canary,
        **({"checks": checks} if checks else {}),
    }
    return Migration(Plan.model_validate(content), content, tuple(fates), (*remarks(raw), *_of_the_judge(config)))


def _wrong_values(raw: Any) -> Iterator[ConfigError]:
    """What is of its type, and Kayenta refuses or never looks at."""
    name = _mapping(raw).get("name")
    if isinstance(name, str) and not _CONFIG_NAME.fullmatch(name):
        yield ConfigError("config.name", f"{name!r} is not made of letters, digits, - and _")
    if _mapping(raw).get("applications") == []:
        yield ConfigError("config.applications", "is not a list with at least one name")
    yield from named_twice(raw)


def _application(raw: Mapping[str, Any]) -> str:
    applications = raw.get("applications", [])
    if len(applications) != 1 or applications == ["ad-hoc"]:
        raise ConfigError(
            "config.applications", "which service is it? The config names no single application: add --service NAME"
        )
    return str(applications[0])


def query_texts(metric: Mapping[str, Any], templates: Mapping[str, Any]) -> tuple[str, ...]:
    """What names a metric's query, the most telling first: an inline template, a template of the config, a metric's name."""
    query = _mapping(metric.get("query"))
    found = [
        query.get("customInlineTemplate"),
        templates.get(str(query.get("customFilterTemplate"))),
        *(query.get(key) for key in ("q", "select", "metricName", "metricType")),
    ]
    return tuple(text for text in found if isinstance(text, str))


def _targets(config: CanaryConfig, mapping: Mapping[str, str], templates: Mapping[str, Any]) -> dict[str, str]:
    """By metric: the check that it becomes."""
    found = {str(m["name"]): str(m["name"]) for m in config.metrics if m["name"] in BUILT_IN}
    used: set[str] = set()
    for metric in config.metrics:
        name = str(metric["name"])
        for key in (*query_texts(metric, templates)[::-1], name):
            if key in mapping:
                used.add(key)
                found[name] = mapping[key]
    for key in mapping:
        if key not in used:
            raise ConfigError(f"--map {key!r}", f"is no metric or query of the config: {', '.join(_names(config))}")
    _each_once(found)
    return found


def _each_once(targets: Mapping[str, str]) -> None:
    taken: dict[str, str] = {}
    for metric, target in targets.items():
        kind, _, name = target.rpartition(":")
        if not (target in BUILT_IN or (kind in {"mean", "rate"} and name)):
            known = f"{', '.join(BUILT_IN)}, mean:NAME, rate:NAME"
            raise ConfigError(f"--map {metric!r}", f"{target!r} is no check; known are {known}")
        if name in taken:
            raise ConfigError(f"--map {metric!r}", f"{taken[name]!r} is {name} already: a check has one limit")
        taken[name] = metric


def _fate(metric: Mapping[str, Any], targets: Mapping[str, str], checks: dict[str, Any]) -> Fate:
    """Adds the check to `checks`, where there is one."""
    settings = read_settings(metric, "config.metrics")
    target = targets.get(settings.name)
    if target is None:
        source = _mapping(metric.get("query")).get("type")
        query = f"{source} query" if source else "query"
        return Fate(settings.name, None, (f"its {query} is not read here: say which check it is with --map",))
    kind, _, name = target.rpartition(":")
    if not kind and settings.direction == "decrease":
        return Fate(settings.name, None, (f"it fails when it falls, and {name} is worse when it rises",))
    written, details = _custom(settings, kind) if kind else _built_in(settings, name)
    if settings.muted:
        written = {**written, "enabled": False}
        details.append("muted: it is off, which decides nothing")
    checks[name] = written
    return Fate(settings.name, name, (*details, *_lost(metric, settings)))


def _built_in(settings: MetricSettings, name: str) -> tuple[dict[str, Any], list[str]]:
    own = Checks.model_fields[name].default
    if isinstance(own, LatencyCheck | SessionLoss):
        return _relative(settings.allowed.increase - 1, settings, format_percent(own.within))
    if not isinstance(own, RateCheck):
        return {}, []
    limit = format_points(own.within)
    details = [
        f"limit {limit}, the default: in percentage points a factor ({settings.allowed.increase:g}) says nothing"
    ]
    return {"within": limit}, details


def _custom(settings: MetricSettings, kind: str) -> tuple[dict[str, Any], list[str]]:
    falls = settings.direction == "decrease"
    if falls and settings.measure != "cles" and settings.allowed.decrease <= 0:
        limit: dict[str, Any] = {"within": "10%"}
        details = ["limit 10%, the default: nothing falls by all there is or more, so Kayenta never failed it"]
    else:
        more = 1 - settings.allowed.decrease if falls else settings.allowed.increase - 1
        limit, details = _relative(more, settings, "10%")
    details.append("the servers must send it in `metrics` of their events; it is never negative")
    return {"kind": kind, "worse": "lower" if falls else "higher", **limit}, details


def _relative(more: float, settings: MetricSettings, default: str) -> tuple[dict[str, Any], list[str]]:
    """A limit as a part of the baseline's, where Kayenta has one that means the same."""
    if settings.measure == "cles":
        return {"within": default}, [f"limit {default}, the default: the measure cles has no counterpart"]
    more = round(more, 6)
    if more <= 0:
        return {"within": default}, [f"limit {default}, the default: Kayenta failed on any shift that it could prove"]
    within = format_percent(more)
    return {"within": within}, [f"limit {within}, the allowed effect; here it is what must be proven, there a filter"]


def _lost(metric: Mapping[str, Any], settings: MetricSettings) -> list[str]:
    """What the metric said beside, and what stands for it."""
    canary, details = canary_of(metric), []
    if settings.direction == "either":
        details.append("either: a fall is no fault here, only a rise")
    if not settings.critical and not settings.muted:
        details.append("it was one vote of its group; here a breach alone rolls back (write `off` to only show it)")
    if settings.critical and {"criticalIncrease", "criticalDecrease"} & _mapping(canary.get("effectSize")).keys():
        details.append("the critical effect size has no counterpart: one limit, and a breach of it rolls back")
    if settings.must_have_data:
        details.append("mustHaveData: data that stays away holds every rollout here")
    if settings.nan_strategy == "replace":
        details.append("nanStrategy: requests are counted, there is nothing to replace")
    if settings.outliers == "remove":
        details.append("outliers: nothing is removed")
    return details


def _of_the_judge(config: CanaryConfig) -> Sequence[Remark]:
    text = "groups, weights and a score decide nothing here: each check has a limit, and its breach rolls back"
    return (Remark("config.classifier.groupWeights", text),) if config.group_weights else ()


def _names(config: CanaryConfig) -> list[str]:
    return [str(metric["name"]) for metric in config.metrics]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
