"""What a canary's share is a share of: who is drawn, for which version, and with which label. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router.rollouts import Rollout
from schemas.labels import UNJUDGED, Kind
from schemas.service import Era, Service, Version
from schemas.standing import Standing
from schemas.units import FULL_SHARE


@dataclass(frozen=True, slots=True)
class Weight:
    """How many of 10,000 new units of a kind a version gets, and the label that they get."""

    version: str
    label: str
    weight: int


@dataclass(frozen=True, slots=True)
class Draw:
    """The draw of one service as it stands."""

    standing: Standing
    told: Sequence[Rollout]
    service: Service
    versions: Mapping[str, Version]
    baseline: str
    """The version that serves whoever is not drawn."""

    def weights(self, kind: Kind) -> tuple[Weight, ...]:
        """The canary first, always: in one order a raised share only adds principals. Empty for a kind that is not assigned.

        Units are only comparable if both cohorts get some: without a canary's share none gets a label.
        """
        if kind not in self._kinds:
            return ()
        standing = self.standing
        if not standing.live or standing.stage == 0 or standing.share == 0 or not self._comparable(kind):
            return (Weight(self.baseline, UNJUDGED, FULL_SHARE),)
        newest = self.told[-1]
        shares = ((newest.canary, standing.share), (newest.baseline, FULL_SHARE - standing.share))
        return tuple(Weight(v, newest.label(v, standing.stage, kind), share) for v, share in shares if share)

    @property
    def salt(self) -> str:
        """What principals are hashed with; empty while nobody is drawn."""
        return self.told[-1].salt if self.standing.live else ""

    def all_speak(self, era: Era) -> bool:
        """Whether every version speaks it that a client may meet, now or after an undo."""
        met = {self.baseline}
        if self.standing.live or self.standing.phase == "completed":
            met |= {self.told[-1].baseline, self.told[-1].canary}
        return all(era in self.versions[version].eras for version in met if version in self.versions)

    def _comparable(self, kind: Kind) -> bool:
        return kind != "session" or self.all_speak("sessions")

    @property
    def _kinds(self) -> tuple[Kind, ...]:
        """A rollout's are fixed by its start, however the service is edited."""
        return self.told[-1].assign if self.standing.live else self.service.assign
