"""The constants of davylamp's own policy, by the number that a plan names them with."""

from collections.abc import Mapping
from dataclasses import dataclass

from judge.stats.dispersion import BASELINE_BUCKETS_WORTH
from schemas.policies import Revision


@dataclass(frozen=True, slots=True)
class Constants:
    """What may differ between revisions."""

    nu: float
    """See :func:`judge.stats.dispersion.dispersion`."""


REVISIONS: Mapping[Revision, Constants] = {1: Constants(nu=BASELINE_BUCKETS_WORTH), 2: Constants(nu=0.0)}
"""What stands here once was decided by: a number is added, none is changed."""
