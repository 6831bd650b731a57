"""The constants of davylamp's own policy, by the number that a plan names them with."""

from collections.abc import Mapping
from dataclasses import dataclass

from judge.stats.dispersion import BASELINE_BUCKETS_WORTH
from schemas.policies import Revision


@dataclass(frozen=True, slots=True)
class Constants:
    """What may differ between revisions."""

    nu: float
    """See :func:`judge.stats.dispersion.dispersion`; of custom metrics it is the first one's in every revision."""
    proof_by_larger: bool = False
    """The proof of a margin is tempered by the larger of both cohorts' dispersions, not by the pooled one."""


REVISIONS: Mapping[Revision, Constants] = {
    1: Constants(nu=BASELINE_BUCKETS_WORTH),
    2: Constants(nu=0.0, proof_by_larger=True),
}
"""What stands here once was decided by: a number is added, none is changed."""
