"""What a gate asks of a rollout's windows, beside what its policy compares. Pure: a fold of the windows alone."""

from collections import Counter
from dataclasses import dataclass, field

from judge.history import RunningSums
from judge.trial import COHORTS, Cohort, Stratum, TrialWindow
from schemas.outcomes import requests_in
from schemas.windows import Cell


@dataclass(slots=True)
class Evidence:
    """A fold of final windows, in order. Nothing here speaks for or against the canary."""

    _sessions: Counter[tuple[Cohort, int]] = field(default_factory=Counter)
    """By cohort and stage of birth."""
    _drawn: Counter[tuple[Cohort, int]] = field(default_factory=Counter)
    """Those of them that a proxy's dice assigned, one by one."""
    _served: dict[Cohort, RunningSums] = field(default_factory=lambda: {cohort: RunningSums() for cohort in COHORTS})
    """Requests, and those whose server said another version than the proxy had assigned."""
    _heard_ms: dict[Cohort, int] = field(default_factory=dict)

    def add(self, window: TrialWindow) -> None:
        """The next final window in which this rollout's sessions were heard."""
        for stratum, pair in window.strata.items():
            for cohort in COHORTS:
                for cell in pair[cohort].cells:
                    self._read(cohort, stratum, cell, window.end_ms)

    def _read(self, cohort: Cohort, stratum: Stratum, cell: Cell, end_ms: int) -> None:
        requests = requests_in(cell.outcomes)
        self._sessions[cohort, stratum.stage] += cell.new_sessions
        if stratum.kind == "session":
            self._drawn[cohort, stratum.stage] += cell.new_sessions
        if requests:
            self._served[cohort].add(end_ms, requests, cell.mismatches)
            self._heard_ms[cohort] = end_ms

    def sessions(self, cohort: Cohort, stage: int | None = None) -> int:
        """Sessions of the cohort that were born in the stage, or in the rollout."""
        if stage is not None:
            return self._sessions[cohort, stage]
        return sum(n for (c, _), n in self._sessions.items() if c == cohort)

    def born(self, cohort: Cohort, stage: int) -> int:
        """Sessions that a proxy's dice assigned, one by one: the only kind whose number should fit the share."""
        return self._drawn[cohort, stage]

    def last_request_ms(self, cohort: Cohort) -> int | None:
        """End of the newest window in which the cohort was heard, Unix milliseconds; None without any."""
        return self._heard_ms.get(cohort)

    def mismatches(self, cohort: Cohort, since_ms: int) -> tuple[int, int]:
        """Requests of the cohort in windows that end later, and those whose server said another version."""
        return self._served[cohort].between(since_ms, self._heard_ms.get(cohort, since_ms))
