"""What may be wrong with a canary, or look as if it were."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Check = Literal["error_rate", "tools", "latency_p99"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Healthy by default. Rates are added, latencies multiplied."""

    title: str
    is_harmful: bool = False
    """It must be rolled back; otherwise a rollback is false."""
    errors: float = 0.0
    """Of the canary's requests."""
    in_sessions: float = 1.0
    """Only this part of its sessions has the fault."""
    slower: float = 1.0
    leak_per_minute: float = 0.0
    """Errors that grow from `begins_s` on."""
    tool_failures: float = 0.0
    """Of its rare tool's calls (3 % of all)."""
    dies_at_s: float | None = None
    """Age at which its sessions fall silent."""
    begins_s: float = 0.0
    baseline_errors: float = 0.0
    incident_s: tuple[float, float] | None = None
    """Both cohorts fail by 30 % more and are three times slower from, until."""
    heavy_every_s: float | None = None
    """A client that fails two thousand calls in a row arrives so often, for either cohort."""
    limit: tuple[Check, float] | None = None
    """For Wald's bound: the check that sees it, and the canary's rate then (of a latency the factor)."""


FAULTS: Mapping[str, Fault] = {
    "none": Fault("none"),
    "outage": Fault("outage", is_harmful=True, errors=1.0, limit=("error_rate", 1.0)),
    "errors+20": Fault("errors +20 pp", is_harmful=True, errors=0.20, limit=("error_rate", 0.205)),
    "errors+5": Fault("errors +5 pp", is_harmful=True, errors=0.05, limit=("error_rate", 0.055)),
    "errors+1": Fault("errors +1 pp", is_harmful=True, errors=0.01, limit=("error_rate", 0.015)),
    "p99x1.5": Fault("p99 ×1.5", is_harmful=True, slower=1.5, limit=("latency_p99", 1.5)),
    "p99x1.2": Fault("p99 ×1.2", is_harmful=True, slower=1.2, limit=("latency_p99", 1.2)),
    "leak": Fault("errors +1 pp a minute from 10 min", is_harmful=True, leak_per_minute=0.01, begins_s=600.0),
    "tool+100": Fault("a tool of 3 % of calls fails", is_harmful=True, tool_failures=1.0, limit=("tools", 1.0)),
    "tool+30": Fault("a tool of 3 % of calls fails by 30 %", is_harmful=True, tool_failures=0.3),
    "die": Fault("sessions die at 3 min", is_harmful=True, dies_at_s=180.0),
    "margin": Fault("errors +0.5 pp (on the margin)", errors=0.005),
    "margin-1%": Fault("errors +0.5 pp, all in 1 % of sessions", errors=0.5, in_sessions=0.01),
    "p99x1.1": Fault("p99 ×1.1 (on the margin)", slower=1.1),
    "incident": Fault("shared incident", incident_s=(1500.0, 1800.0)),
    "late-incident": Fault("shared incident, last 5 min of a stage", incident_s=(2100.0, 2400.0)),
    "both+20": Fault("both cohorts +20 pp", errors=0.20, baseline_errors=0.20),
    "baseline+20": Fault("baseline +20 pp, canary fine", baseline_errors=0.20),
    "heavy": Fault("clients with 2,000 failing calls", heavy_every_s=600.0),
}
"""By the name that results carry."""

RATES = (1.0, 10.0, 100.0)
"""New sessions a second."""
