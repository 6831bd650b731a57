"""The types of a canary config, told all at once and with their places. Pure.

Kayenta's own reader refuses most of them, and looks into what is no object as if it were empty (`MapUtils`): a limit that
stands there decides nothing, without a word.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from judge.policies.kayenta.settings import CanaryConfig, ConfigError, read_settings

_SHOWN = 60
"""Characters of a wrong value that are repeated to whoever wrote it."""


class Shape(Protocol):
    """What may stand at a place. Where Kayenta itself may write null, that says nothing (`or_null`)."""

    def wrong(self, value: Any, path: str) -> Iterator[ConfigError]:
        """Each place, from `path` on, whose value is of another type."""


@dataclass(frozen=True, slots=True)
class One:
    """A value without parts. Null says nothing, as an absent key does."""

    words: str
    types: tuple[type, ...]
    advice: str

    def wrong(self, value: Any, path: str) -> Iterator[ConfigError]:
        """A truth value is no number, and neither is NaN."""
        other = isinstance(value, bool) and bool not in self.types
        endless = isinstance(value, float) and not math.isfinite(value)
        if value is not None and (other or endless or not isinstance(value, self.types)):
            yield ConfigError(path, f"{_said(value)} is not {self.words}: {self.advice}")


@dataclass(frozen=True, slots=True)
class ListOf:
    """Each item is one of these."""

    item: Shape
    words: str
    or_null: bool = False

    def wrong(self, value: Any, path: str) -> Iterator[ConfigError]:
        if value is None and self.or_null:
            return
        if not isinstance(value, list):
            yield ConfigError(path, f"{_said(value)} is not {self.words}: write [ ] around it, or leave it out")
            return
        for index, item in enumerate(value):
            yield from _wrong_part(item, self.item, f"{path}[{index}]")


@dataclass(frozen=True, slots=True)
class Keys:
    """An object, with the types of the keys that are known; of others nobody here knows anything."""

    known: Mapping[str, Shape]
    or_null: bool = False

    def wrong(self, value: Any, path: str) -> Iterator[ConfigError]:
        if value is None and self.or_null:
            return
        if not isinstance(value, Mapping):
            yield _no_object(value, path)
            return
        for key, shape in self.known.items():
            if key in value:
                yield from shape.wrong(value[key], f"{path}.{key}")


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object whose keys are names that anybody may choose."""

    item: Shape

    def wrong(self, value: Any, path: str) -> Iterator[ConfigError]:
        if not isinstance(value, Mapping):
            yield _no_object(value, path)
            return
        for key, item in value.items():
            yield from _wrong_part(item, self.item, f"{path}.{key}")


def _wrong_part(value: Any, shape: Shape, path: str) -> Iterator[ConfigError]:
    """A part of a list or a map is there to be counted: null is none."""
    if value is None:
        yield ConfigError(path, "is null: write a value, or leave it out")
    else:
        yield from shape.wrong(value, path)


def _no_object(value: Any, path: str) -> ConfigError:
    return ConfigError(path, f"{_said(value)} is not an object: write {{ }} around it, or leave it out")


def _said(value: Any) -> str:
    shown = "null" if value is None else repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


TEXT = One("a text", (str,), "write it in quotes")
NUMBER = One("a number", (int, float), "write it without quotes")
FLAG = One("true or false", (bool,), "write one of them, without quotes")
VERSION = One("a text or a number", (str, int, float), "write it in quotes")
TEXTS = ListOf(TEXT, "a list of texts")
THRESHOLDS = Keys({"pass": NUMBER, "marginal": NUMBER}, or_null=True)

QUERY_TEXTS = ("q", "select", "metricName", "metricType", "customInlineTemplate", "customFilterTemplate")
"""What of a query is a text, whatever its source."""

_QUERY = Keys(
    {
        **dict.fromkeys(("type", "serviceType", *QUERY_TEXTS), TEXT),
        **dict.fromkeys(("labelBindings", "groupByFields", "fields"), replace(TEXTS, or_null=True)),
    }
)
_EFFECT = ("allowedIncrease", "allowedDecrease", "criticalIncrease", "criticalDecrease")


def _config(word: Shape) -> Shape:
    effect = Keys({"measure": word, **dict.fromkeys(_EFFECT, NUMBER)})
    canary: dict[str, Shape] = {
        "direction": word,
        "nanStrategy": word,
        "outliers": Keys({"strategy": word, "outlierFactor": NUMBER}),
        **dict.fromkeys(("critical", "mustHaveData", "muted"), FLAG),
        "effectSize": effect,
    }
    metric: dict[str, Shape] = {
        "name": TEXT,
        "query": _QUERY,
        "groups": TEXTS,
        "analysisConfigurations": Keys({"canary": Keys(canary)}),
        "scopeName": TEXT,
    }
    return Keys(
        {
            **dict.fromkeys(("name", "id", "description"), TEXT),
            "configVersion": VERSION,
            "applications": TEXTS,
            "judge": Keys({"name": TEXT, "judgeConfigurations": Keys({})}, or_null=True),
            "metrics": ListOf(Keys(metric), "a list of objects"),
            "templates": MapOf(TEXT),
            "classifier": Keys({"groupWeights": MapOf(NUMBER), "scoreThresholds": THRESHOLDS}),
        }
    )


JUDGED = _config(One("a text", (str, int, float, bool), "write it in quotes"))
"""As the real judge reads a config: where it looks for a word it takes the text of a number."""
WRITTEN = _config(TEXT)
"""As somebody meant it."""


def wrong_types(raw: Any, shape: Shape = WRITTEN) -> tuple[ConfigError, ...]:
    """Everything of a wrong type at once: Kayenta throws for the first of them, once the metric has data."""
    found = [*shape.wrong(raw, "config"), *_nameless(raw)]
    return tuple(found or _wrong_settings(raw))


def refuse_wrong_types(raw: Any) -> None:
    """For who judges by it. Raises :class:`ConfigError` with all of them."""
    wrong = wrong_types(raw, JUDGED)
    if wrong:
        raise ConfigError("the canary config is not understood", "; ".join(map(str, wrong)))


def named_twice(raw: Any) -> Iterator[ConfigError]:
    """Metrics that nobody would ever look at: of two with one name the first is found."""
    seen: list[Any] = []
    for path, metric in _metrics(raw):
        name = metric.get("name")
        if name and name in seen:
            yield ConfigError(f"{path}.name", f"{name!r} is the name of an earlier metric: only that counts")
        seen.append(name)


def _nameless(raw: Any) -> Iterator[ConfigError]:
    for path, metric in _metrics(raw):
        if metric.get("name") in (None, ""):
            yield ConfigError(f"{path}.name", "is missing: write what the metric is called")


def _wrong_settings(raw: Any) -> Iterator[ConfigError]:
    """Of a config whose types are right."""
    try:
        CanaryConfig.read(raw)
    except ConfigError as error:
        yield error
    for path, metric in _metrics(raw):
        try:
            read_settings(metric, path)
        except ConfigError as error:
            yield error


def _metrics(raw: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """With their places; of what is no config none."""
    metrics = raw.get("metrics") if isinstance(raw, Mapping) else None
    numbered = enumerate(metrics if isinstance(metrics, list) else ())
    return [(f"config.metrics[{index}]", metric) for index, metric in numbered if isinstance(metric, Mapping)]
