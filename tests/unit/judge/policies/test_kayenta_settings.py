"""What a canary config says, as Kayenta reads it, and where it is refused."""

from typing import Any

import pytest

from judge.policies.kayenta.pairs import read_metric_set_pair, read_pair
from judge.policies.kayenta.settings import (
    CanaryConfig,
    ConfigError,
    EffectLimits,
    MetricSettings,
    Thresholds,
    read_settings,
)

PATH = "config.metrics[0]"


def settings(canary: Any, **metric: Any) -> MetricSettings:
    return read_settings({"name": "m", "analysisConfigurations": {"canary": canary}, **metric}, PATH)


def config(*metrics: dict[str, Any], **rest: Any) -> CanaryConfig:
    return CanaryConfig.read({"metrics": list(metrics), "classifier": {}, **rest})


@pytest.mark.parametrize("canary", [{}, None, [], "x", {"outliers": None, "effectSize": None}])
def test_what_is_not_said_has_kayentas_default(canary: Any) -> None:
    assert settings(canary) == MetricSettings("m")


def test_a_metric_without_any_configuration_has_the_defaults() -> None:
    assert read_settings({"name": "m"}, PATH) == MetricSettings("m")


def test_everything_that_can_be_said_is_read() -> None:
    effect = {"measure": "cles", "allowedIncrease": 0.7, "allowedDecrease": 0.3, "criticalIncrease": 0.9}
    canary = {
        "direction": "increase",
        "nanStrategy": "replace",
        "outliers": {"strategy": "remove", "outlierFactor": 2},
        "critical": True,
        "mustHaveData": True,
        "muted": True,
        "effectSize": effect,
    }
    assert settings(canary, groups=["a", "b"]) == MetricSettings(
        name="m",
        groups=("a", "b"),
        direction="increase",
        nan_strategy="replace",
        outliers="remove",
        outlier_factor=2.0,
        critical=True,
        must_have_data=True,
        muted=True,
        measure="cles",
        allowed=EffectLimits(decrease=0.3, increase=0.7),
        criticals=EffectLimits(decrease=0.5, increase=0.9),
    )


@pytest.mark.parametrize("word", ["Increase", "up", 5, True, ["increase"]])
def test_an_unknown_direction_is_taken_for_either(word: Any) -> None:
    assert settings({"direction": word}).direction == "either"


@pytest.mark.parametrize("measure", ["cohenD", "CLES", 1])
def test_an_unknown_measure_is_taken_for_the_mean_ratio(measure: Any) -> None:
    found = settings({"effectSize": {"measure": measure}})
    assert (found.measure, found.allowed) == ("meanRatio", EffectLimits())


def test_a_null_number_is_zero_and_a_null_flag_is_false() -> None:
    found = settings({"critical": None, "effectSize": {"allowedDecrease": None}})
    assert found.allowed.decrease == 0.0
    assert not found.critical


@pytest.mark.parametrize(
    ("canary", "path"),
    [
        ({"direction": None}, "direction"),
        ({"nanStrategy": None}, "nanStrategy"),
        ({"critical": "true"}, "critical"),
        ({"muted": 1}, "muted"),
        ({"effectSize": {"allowedIncrease": "1.1"}}, "effectSize.allowedIncrease"),
        ({"effectSize": {"criticalDecrease": True}}, "effectSize.criticalDecrease"),
        ({"outliers": {"outlierFactor": 2**31}}, "outliers.outlierFactor"),
        ({"outliers": {"strategy": "remove", "outlierFactor": 0}}, "outliers.outlierFactor"),
    ],
)
def test_what_makes_kayenta_throw_is_refused_with_its_place(canary: Any, path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings(canary)
    assert refused.value.path == f"{PATH}.analysisConfigurations.canary.{path}"
    assert str(refused.value).startswith(refused.value.path)


def test_an_effect_that_cannot_be_computed_is_always_large_enough() -> None:
    limits = EffectLimits(decrease=0.8, increase=1.2)
    assert [limits.reached("High", effect) for effect in (1.1, 1.2, float("nan"))] == [False, True, True]
    assert [limits.reached("Low", effect) for effect in (0.9, 0.8, float("nan"))] == [False, True, True]


def test_the_first_of_two_metrics_with_one_name_counts() -> None:
    first = {"name": "m", "groups": ["first"]}
    assert config(first, {"name": "m", "groups": ["second"]}).settings("m").groups == ("first",)


def test_a_pair_that_the_config_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigError, match="no metric called 'x'"):
        config({"name": "m"}).settings("x")


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (None, "config"),
        ({"classifier": {}}, "config.metrics"),
        ({"metrics": ["m"], "classifier": {}}, "config.metrics"),
        ({"metrics": []}, "config.classifier"),
        ({"metrics": [], "classifier": {"groupWeights": [1]}}, "config.classifier.groupWeights"),
        ({"metrics": [], "classifier": {"groupWeights": {"g": "50"}}}, "config.classifier.groupWeights.g"),
        ({"metrics": [], "classifier": {"groupWeights": {"g": -5}}}, "config.classifier.groupWeights.g"),
        ({"metrics": [], "classifier": {"groupWeights": {"g": float("nan")}}}, "config.classifier.groupWeights.g"),
    ],
)
def test_a_config_that_is_none_is_refused(raw: Any, path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        CanaryConfig.read(raw)
    assert refused.value.path == path


def test_a_metrics_groups_are_a_list() -> None:
    with pytest.raises(ConfigError, match=r"groups: is not a list"):
        config({"name": "m", "groups": "g"}).settings("m")


@pytest.mark.parametrize(
    "raw", [None, {}, {"pass": 95}, {"pass": None, "marginal": 75}, {"pass": "95", "marginal": 75}]
)
def test_thresholds_are_two_numbers(raw: Any) -> None:
    with pytest.raises(ConfigError, match="scoreThresholds"):
        Thresholds.read(raw)


def test_series_take_numbers_and_the_three_words() -> None:
    pair = read_pair({"name": "m", "control": [1, 2.5, "NaN"], "experiment": ["Infinity", "-Infinity"]}, "metrics[0]")
    assert str(pair.control.tolist()) == "[1.0, 2.5, nan]"
    assert pair.experiment.tolist() == [float("inf"), float("-inf")]


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("m", "metrics[3]"),
        ({"control": [], "experiment": []}, r"metrics[3].name"),
        ({"name": "m", "experiment": []}, "metrics[3].control"),
        ({"name": "m", "control": [1, None], "experiment": []}, "metrics[3].control[1]"),
        ({"name": "m", "control": [], "experiment": ["1"]}, "metrics[3].experiment[0]"),
        ({"name": "m", "control": [], "experiment": [True]}, "metrics[3].experiment[0]"),
    ],
)
def test_a_series_that_is_none_is_refused_with_its_place(raw: Any, path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_pair(raw, "metrics[3]")
    assert refused.value.path == path


def test_kayentas_own_pair_keeps_its_id_and_tags() -> None:
    raw = {"name": "m", "id": "7", "tags": {"zone": "a"}, "values": {"control": [1], "experiment": [2]}, "scopes": {}}
    pair = read_metric_set_pair(raw, "p")
    assert (pair.id, pair.tags) == ("7", {"zone": "a"})
    assert (pair.control.tolist(), pair.experiment.tolist()) == ([1.0], [2.0])
    with pytest.raises(ConfigError, match=r"p.values: is not an object"):
        read_metric_set_pair({"name": "m"}, "p")
    with pytest.raises(ConfigError, match=r"p.tags: \[\] is not an object"):
        read_metric_set_pair({**raw, "tags": []}, "p")
