"""The constants of davylamp's own policy, by the number that a plan names them with."""

from collections.abc import Mapping
from dataclasses import dataclass

from judge.stats.dispersion import Pooling, by_variance, shrunk
from judge.stats.evidence import Floats, mostly_large
from judge.stats.restarts import USUAL_WEIGHTS, RestartWeights
from schemas.policies import Revision


@dataclass(frozen=True, slots=True, eq=False)
class Constants:
    """What may differ between revisions."""

    pooling: Pooling = shrunk
    """How clustered failed requests are taken to be; see :func:`judge.policies.families.table.families`."""
    bets: Floats | None = None
    """Each bet's part of the wealth at the start, shape (J,), summing to 1; None: equal ones."""
    restarts: RestartWeights = USUAL_WEIGHTS


REVISIONS: Mapping[Revision, Constants] = {
    1: Constants(),
    2: Constants(by_variance, mostly_large(), RestartWeights(start=0.80, stages=0.10, timed=0.10)),
}
"""What stands here once was decided by: a number is added, none is changed."""
