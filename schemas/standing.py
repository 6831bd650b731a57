"""Where a service stands. The code is the SDK's, so that a server reads the ledger by the same rule as everybody else."""

from dataclasses import dataclass

from davylamp_sdk import _standing
from davylamp_sdk._standing import LIVE, TRANSITIONS, Phase
from schemas.decisions import Opening

__all__ = ["LIVE", "TRANSITIONS", "Phase", "Standing"]


@dataclass(frozen=True, slots=True)
class Standing(_standing.Standing[Opening]):
    """What every reader knows of a service after reading its chain."""
