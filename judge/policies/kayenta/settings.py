"""How a canary config wants a metric judged: Kayenta's defaults, and what Kayenta makes of odd values.

What a metric's ``analysisConfigurations.canary`` holds is read only when the metric is judged, as Kayenta does: a
mistake in a metric without data breaks nothing there, and :func:`read_settings` of every metric finds it here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

W = TypeVar("W", bound=str)

Direction = Literal["increase", "decrease", "either"]
NanStrategy = Literal["remove", "replace"]
OutlierStrategy = Literal["remove", "keep"]
Measure = Literal["meanRatio", "cles"]

DIRECTIONS: tuple[Direction, ...] = ("increase", "decrease", "either")
NAN_STRATEGIES: tuple[NanStrategy, ...] = ("remove", "replace")
OUTLIER_STRATEGIES: tuple[OutlierStrategy, ...] = ("keep", "remove")
MEASURES: tuple[Measure, ...] = ("meanRatio", "cles")

_NO_EFFECT: Mapping[Measure, float] = {"meanRatio": 1.0, "cles": 0.5}
"""What each measure says when nothing has changed: the default of every limit on it."""

_JAVA_INTEGER = 2**31
"""A JSON integer beyond Java's is no Double to Kayenta."""


class ConfigError(ValueError):
    """The canary config cannot be judged."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path


@dataclass(frozen=True, slots=True)
class EffectLimits:
    """The effect from which a shift counts: at most `decrease` for Low, at least `increase` for High."""

    decrease: float = 1.0
    increase: float = 1.0

    def reached(self, label: Literal["High", "Low"], effect: float) -> bool:
        """Whether the effect is large enough; one that cannot be computed (NaN) always is."""
        return math.isnan(effect) or (effect >= self.increase if label == "High" else effect <= self.decrease)


@dataclass(frozen=True, slots=True)
class MetricSettings:
    """How one metric is judged. The defaults are Kayenta's."""

    name: str
    groups: tuple[str, ...] = ()
    direction: Direction = "either"
    nan_strategy: NanStrategy = "remove"
    outliers: OutlierStrategy = "keep"
    outlier_factor: float = 3.0
    critical: bool = False
    must_have_data: bool = False
    muted: bool = False
    measure: Measure = "meanRatio"
    allowed: EffectLimits = EffectLimits()
    criticals: EffectLimits = EffectLimits()
    """From where a critical metric fails the whole canary."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The scores of the request; those that a config may hold under `classifier` are never read by Kayenta."""

    passing: float
    marginal: float

    @classmethod
    def read(cls, raw: Any, path: str = "scoreThresholds") -> Self:
        """From ``{"pass": …, "marginal": …}``. Raises :class:`ConfigError`."""
        if not isinstance(raw, Mapping):
            what = "is missing" if raw is None else f"{raw!r} is not an object"
            raise ConfigError(path, f"{what}: write {{pass: 95, marginal: 75}}")
        return cls(*(_required_number(raw, key, path) for key in ("pass", "marginal")))


@dataclass(frozen=True, slots=True)
class CanaryConfig:
    """What of a canary config is judged by; its metrics stay as they were written."""

    metrics: tuple[Mapping[str, Any], ...]
    group_weights: Mapping[str, float]

    @classmethod
    def read(cls, raw: Any) -> Self:
        """From parsed JSON. Raises :class:`ConfigError`."""
        if not isinstance(raw, Mapping):
            raise ConfigError("config", "is not an object")
        metrics = raw.get("metrics")
        if not isinstance(metrics, list) or not all(isinstance(m, Mapping) for m in metrics):
            raise ConfigError("config.metrics", "is not a list of objects")
        return cls(tuple(metrics), _weights(raw.get("classifier")))

    def settings(self, name: str) -> MetricSettings:
        """Of the first metric called so. Raises :class:`ConfigError`."""
        for index, metric in enumerate(self.metrics):
            if metric.get("name") == name:
                return read_settings(metric, f"config.metrics[{index}]")
        raise ConfigError("config.metrics", f"holds no metric called {name!r}")


def score_thresholds(config: Mapping[str, Any], given: Any) -> Any:
    """`given`, or where that is None what the config's classifier holds, which Kayenta itself never reads."""
    classifier = config.get("classifier")
    return classifier.get("scoreThresholds") if given is None and isinstance(classifier, Mapping) else given


def read_settings(metric: Mapping[str, Any], path: str) -> MetricSettings:
    """From one entry of a config's ``metrics``. Raises :class:`ConfigError` where Kayenta throws."""
    canary = _Place(metric, path).at("analysisConfigurations", "canary")
    effect = canary.at("effectSize")
    measure = _known(effect.word("measure", "meanRatio"), MEASURES, "meanRatio")
    outliers, factor = _outliers(canary.at("outliers"))
    return MetricSettings(
        name=str(metric.get("name")),
        groups=_groups(metric, path),
        direction=_known(canary.word("direction", "either"), DIRECTIONS, "either"),
        nan_strategy=_known(canary.word("nanStrategy", "remove"), NAN_STRATEGIES, "remove"),
        outliers=outliers,
        outlier_factor=factor,
        critical=canary.flag("critical"),
        must_have_data=canary.flag("mustHaveData"),
        muted=canary.flag("muted"),
        measure=measure,
        allowed=_limits(effect, "allowed", _NO_EFFECT[measure]),
        criticals=_limits(effect, "critical", _NO_EFFECT[measure]),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in the config, or one that is not there: looking into it finds nothing, as Kayenta's `MapUtils` does."""

    value: Any
    path: str

    def at(self, *keys: str) -> "_Place":
        found = self
        for key in keys:
            inner = found.value.get(key) if isinstance(found.value, Mapping) else None
            found = _Place(inner, f"{found.path}.{key}")
        return found

    def _holds(self, key: str) -> bool:
        return isinstance(self.value, Mapping) and key in self.value

    def word(self, key: str, default: str) -> str:
        """Any value's text; only a null is refused."""
        if not self._holds(key):
            return default
        found = self.at(key)
        if found.value is None:
            raise ConfigError(found.path, "is null, not a word")
        return str(found.value)

    def flag(self, key: str) -> bool:
        """A null is false."""
        found = self.at(key)
        if not isinstance(found.value, bool | None):
            raise ConfigError(found.path, f"{found.value!r} is not true or false")
        return bool(found.value)

    def number(self, key: str, default: float) -> float:
        """A null is 0.0, not the default."""
        if not self._holds(key):
            return default
        found = self.at(key)
        return 0.0 if found.value is None else _number(found.value, found.path)


def _outliers(place: _Place) -> tuple[OutlierStrategy, float]:
    """A factor that is not asked for may be anything."""
    strategy = _known(place.word("strategy", "keep"), OUTLIER_STRATEGIES, "keep")
    factor = place.number("outlierFactor", 3.0)
    if strategy == "remove" and factor <= 0:
        raise ConfigError(f"{place.path}.outlierFactor", f"must be greater than zero, not {factor:g}")
    return strategy, factor


def _limits(effect: _Place, kind: str, default: float) -> EffectLimits:
    return EffectLimits(effect.number(f"{kind}Decrease", default), effect.number(f"{kind}Increase", default))


def _known(word: str, known: tuple[W, ...], otherwise: W) -> W:
    """Words are case sensitive, and an unknown one is taken for `otherwise` without a word."""
    return next((w for w in known if w == word), otherwise)


def _groups(metric: Mapping[str, Any], path: str) -> tuple[str, ...]:
    groups = metric.get("groups")
    if groups is not None and not isinstance(groups, list):
        raise ConfigError(f"{path}.groups", "is not a list")
    return tuple(map(str, groups or ()))


def _weights(classifier: Any) -> dict[str, float]:
    if not isinstance(classifier, Mapping):
        raise ConfigError("config.classifier", "is missing")
    weights = classifier.get("groupWeights") or {}
    if not isinstance(weights, Mapping):
        raise ConfigError("config.classifier.groupWeights", "is not an object of numbers")
    return {str(g): _weight(w, f"config.classifier.groupWeights.{g}") for g, w in weights.items()}


def _weight(value: Any, path: str) -> float:
    """Kayenta would take one below 0, and make a better score of a failed metric."""
    weight = _number(value, path)
    if weight < 0:
        raise ConfigError(path, f"{weight:g} is below 0: a metric that fails would make the score better")
    return weight


def _required_number(raw: Mapping[str, Any], key: str, path: str) -> float:
    if key not in raw:
        raise ConfigError(f"{path}.{key}", "is missing")
    return _number(raw[key], f"{path}.{key}")


def _number(value: Any, path: str) -> float:
    is_integer = isinstance(value, int) and not isinstance(value, bool) and -_JAVA_INTEGER <= value < _JAVA_INTEGER
    if not (is_integer or (isinstance(value, float) and math.isfinite(value))):
        raise ConfigError(path, f"{value!r} is not a number")
    return float(value)
