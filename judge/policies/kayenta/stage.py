"""What a pipeline stage or a standalone request says beside the canary config, and what stands for it in davylamp. Pure."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from judge.policies.kayenta.remarks import Remark
from judge.policies.kayenta.settings import ConfigError, Thresholds
from schemas.plan import Plan
from schemas.units import format_duration_s

_ISO_DURATION = re.compile(r"P(?=\d|T\d)(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
"""As Java's ``Duration`` reads it."""
_SCOPE = "sessions are told apart by the label that the proxy gives them: no scope, no location, no step"
_SAYS = {
    "interval": "looks may be as many as one likes here: they are paid for in the statistics",
    "lookback": "the whole stage counts here, window by window",
    "begin": "only sessions begun in the same stage are compared, so that both cohorts are as young",
    "offset": "the baseline runs at the same time here, never earlier",
}


def stage_remarks(raw: Any, plan: Plan) -> tuple[Remark, ...]:
    """Of a Spinnaker stage (``kayentaCanary``) or a request of ``/standalone_canary_analysis``.

    Raises :class:`ConfigError` for what is neither.
    """
    if not isinstance(raw, Mapping):
        raise ConfigError("stage", "is not an object")
    inner = raw.get("canaryConfig", raw.get("executionRequest", raw))
    if not isinstance(inner, Mapping) or not {"scoreThresholds", "thresholds", "scopes"} & inner.keys():
        raise ConfigError("stage", "is neither a kayentaCanary stage nor a request for a standalone analysis")
    return tuple(_remarks(inner, plan))


def _remarks(stage: Mapping[str, Any], plan: Plan) -> Iterator[Remark]:
    thresholds = next((key for key in ("scoreThresholds", "thresholds") if key in stage), None)
    if thresholds is not None:
        yield _of_thresholds(stage[thresholds], f"stage.{thresholds}")
    yield from _of_lifetime(stage, plan)
    for says, keys in (
        ("interval", ("canaryAnalysisIntervalMins", "analysisIntervalMins")),
        ("lookback", ("lookbackMins",)),
        ("begin", ("beginCanaryAnalysisAfterMins", "beginAfterMins")),
    ):
        for key in keys:
            if _minutes(stage, key):
                yield Remark(f"stage.{key}", _SAYS[says])
    scopes = stage.get("scopes")
    if not isinstance(scopes, list | None):
        raise ConfigError("stage.scopes", "is not a list")
    for index, scope in enumerate(scopes or ()):
        if not isinstance(scope, Mapping):
            raise ConfigError(f"stage.scopes[{index}]", f"{scope!r} is not an object")
        yield Remark(f"stage.scopes[{index}]", _SCOPE)
        if scope.get("controlOffsetInMinutes"):
            yield Remark(f"stage.scopes[{index}].controlOffsetInMinutes", _SAYS["offset"])


def _of_thresholds(raw: Any, path: str) -> Remark:
    found = Thresholds.read({k: _as_number(v) for k, v in raw.items()} if isinstance(raw, Mapping) else raw, path)
    said = f"pass {found.passing:g} and marginal {found.marginal:g} decide nothing here"
    return Remark(path, f"{said}; davylamp judge --policy kayenta takes them as scoreThresholds")


def _as_number(value: Any) -> Any:
    """Spinnaker writes numbers as texts."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _of_lifetime(stage: Mapping[str, Any], plan: Plan) -> Iterator[Remark]:
    minutes = _minutes(stage, "lifetimeDurationMins") or 60 * _minutes(stage, "lifetimeHours")
    minutes = _iso_minutes(stage) or minutes
    if minutes:
        ours = format_duration_s(sum(one.duration_s for one in plan.stages))
        text = f"it watched for {minutes:g} minutes at one share; the plan's stages take {ours}: set `stages` to what you want"
        yield Remark("stage.lifetime", text)


def _iso_minutes(stage: Mapping[str, Any]) -> float:
    text = stage.get("lifetimeDuration")
    if text in (None, ""):
        return 0.0
    written = _ISO_DURATION.fullmatch(str(text))
    if written is None:
        raise ConfigError("stage.lifetimeDuration", f"{text!r} is no duration of ISO 8601, like PT2H or P1DT30M")
    days, hours, minutes, seconds = (float(part or 0) for part in written.groups())
    return 1440 * days + 60 * hours + minutes + seconds / 60


def _minutes(stage: Mapping[str, Any], key: str) -> float:
    value = stage.get(key)
    if value in (None, ""):
        return 0.0
    try:
        minutes = float(str(value))
    except ValueError:
        minutes = math.nan
    if not (math.isfinite(minutes) and minutes >= 0):
        raise ConfigError(f"stage.{key}", f"{value!r} is not a number of minutes")
    return minutes
