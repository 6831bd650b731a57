"""One lane at one look: what decides at once, and what people are told once somebody asks. Of values, so that when does not matter."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from judge.policies.families.port import Claim, Teller, W
from judge.policies.families.table import score_weight
from judge.policies.lane import Against, Asked, For, Lane
from judge.policies.port import StageTimes
from judge.policies.results import Interval, Reading
from judge.stats.score import CheckEvidence


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a look decides by, of one check that has a part of alpha."""

    check: str
    evidence: CheckEvidence
    has_data: bool

    @property
    def scores(self) -> bool:
        """Of what is known, and of what has to be proved, the score is made."""
        return self.has_data or self.evidence.log_e_within is not None


@dataclass(frozen=True, slots=True)
class Looked:
    """Both sides of the evidence, check by check."""

    claims: Sequence[Claim]
    tellers: Sequence[Teller]
    asked: Asked
    against: Against
    proof: For

    @classmethod
    def at(cls, lane: Lane[W], still_open: Sequence[W], times: StageTimes, asked: Asked) -> Self:
        """A lane that has families, now."""
        against, proof = lane.look(still_open, times, asked)
        tellers = [family.teller() for family in lane.families]
        return cls([family.claim for family in lane.families], tellers, asked, against, proof)

    def weigh(self, shares: Mapping[str, float]) -> Iterator[Weighed]:
        """The checks that have a part of alpha."""
        columns = self.against.log_e.tolist(), self.proof.log_e.tolist(), self.against.totals.tolist()
        for claim, log_e, log_e_within, totals in zip(self.claims, *columns, strict=True):
            share = shares.get(claim.check, 0.0)
            if share:
                proof = log_e_within if claim.proves else None
                evidence = CheckEvidence(log_e, proof, share, score_weight(claim.check))
                yield Weighed(claim.check, evidence, totals[0] > 0 and totals[2] > 0)

    def full(self) -> tuple[str, ...]:
        """Checks that can no longer be judged."""
        return tuple(self.claims[place].check for place in self.against.spread.full)

    def readings(self, shares: Mapping[str, float], culprit: str | None) -> Iterator[Reading]:
        """Every check, in the lane's order."""
        columns = zip(
            self.claims,
            self.tellers,
            self.asked.needed.tolist(),
            self.asked.gate_margins.tolist(),
            self.against.log_e.tolist(),
            self.against.unbelieved.tolist(),
            self.against.members,
            self.proof.log_e.tolist(),
            self.against.spread.pooled.tolist(),
            map(tuple, self.against.totals.tolist()),
            map(tuple, self.proof.totals.tolist()),
            self.against.since_ms,
            strict=True,
        )
        for (
            claim,
            tell,
            needed,
            gate_margin,
            log_e,
            unbelieved,
            members,
            log_e_within,
            pooled,
            totals,
            own,
            since,
        ) in columns:
            yield Reading(
                claim=claim,
                tell=tell,
                share=shares.get(claim.check, 0.0),
                needed=needed,
                gate_margin=gate_margin if claim.proves else None,
                log_e=log_e,
                unbelieved=unbelieved,
                members=members,
                log_e_within=log_e_within,
                dispersion=pooled,
                totals=totals,
                stage_totals=own,
                since_ms=since,
                is_culprit=claim.check == culprit,
            )

    def intervals(self) -> Iterator[tuple[str, Interval]]:
        """Of each check's difference."""
        ends = zip(self.claims, self.against.lows.tolist(), self.proof.highs.tolist(), strict=True)
        return ((claim.check, (_known(low), _known(high))) for claim, low, high in ends)


def _known(bound: float) -> float | None:
    return None if math.isnan(bound) else float(bound)
