"""What a rule made of its measurements, as JSON. Pure."""

from collections.abc import Sequence
from typing import Any

from judge.policies.threshold.argo import AnalysisRun
from judge.policies.threshold.flagger import Analysis, Tick


def flagger_report(analysis: Analysis, ticks: Sequence[Tick], ignored: Sequence[str] = ()) -> dict[str, Any]:
    """Every tick with its time from the start, and what it came to."""
    return {
        "rule": "flagger",
        "outcome": ticks[-1].action,
        "reason": ticks[-1].reason,
        "failedChecks": ticks[-1].failed_checks,
        "threshold": analysis.threshold,
        "ticks": [
            {
                "at_s": index * analysis.interval_s,
                "action": tick.action,
                "weight": analysis.steps[tick.step - 1] if tick.step else 0,
                "failedChecks": tick.failed_checks,
                "reason": tick.reason,
            }
            for index, tick in enumerate(ticks)
        ],
        "ignored": list(ignored),
    }


def argo_report(run: AnalysisRun, ignored: Sequence[str] = ()) -> dict[str, Any]:
    """The run, and every metric's counts."""
    return {
        "rule": "argo",
        "phase": run.phase,
        "message": run.message,
        "at_s": run.at_s,
        "metricResults": [
            {
                "name": found.metric.name,
                "phase": found.phase,
                "message": found.message,
                "dryRun": found.metric.dry_run,
                "count": found.count,
                "successful": found.successful,
                "failed": found.failed,
                "inconclusive": found.inconclusive,
                "error": found.error,
                "consecutiveError": found.consecutive_error,
                "consecutiveSuccess": found.consecutive_success,
            }
            for found in run.metrics
        ],
        "ignored": list(ignored),
    }
