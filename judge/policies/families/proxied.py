"""Availability: what the proxies saw fail. A canary that is dead sends no telemetry."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from judge.policies.families.port import Claim, Rows, Spread, Teller
from judge.policies.families.rates import UNCLUSTERED_DISPERSION, rate_figures
from judge.proxies import Difference, Sent
from judge.stats.dispersion import MIN_BUCKETS
from judge.trial import Trial

_NOTHING = Sent(0, 0, 0)


@dataclass(slots=True)
class Availability:
    """Requests that a proxy sent and that failed there, the difference of two reports a stratum.

    A proxy's counts cannot be told apart by session: the dispersion is fixed, and at least three differences must hold a
    failure. What is under way counts as sent and is no failure, for streams of healthy sessions stay open for hours, until
    it is no stream and no answer to it has begun for a minute.
    """

    claim: Claim
    trial: Trial
    failing: int = 0
    """Differences with a failure of the canary."""

    def fold(self, window: Difference) -> Rows:
        """See :class:`Family`."""
        canary, baseline = (window.versions.get(v, _NOTHING) for v in (self.trial.canary, self.trial.baseline))
        self.failing += canary.failed > 0
        return {(0, "session", 0): np.array([[canary.sent, canary.failed, baseline.sent, baseline.failed]], np.int64)}

    def peek(self, window: Difference) -> Rows:
        """See :class:`Family`. A report that was read is final."""
        return {}

    def spread(self, still_open: Sequence[Difference] = ()) -> Spread:
        """See :class:`Family`."""
        return Spread(UNCLUSTERED_DISPERSION, self.failing >= MIN_BUCKETS)

    def teller(self) -> Teller:
        """See :class:`Family`."""
        return rate_figures
