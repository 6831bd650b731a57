"""Keeps the list's rows ready, so that whoever asks for it waits for none to be drawn."""

from dataclasses import dataclass

from markupsafe import Markup

from schemas.control import RolloutView
from status.page.listed import Drawn, drawn, latencies_counted, rests_on
from status.page.snapshot import Snapshot, Viewer
from status.picture import Pictures

LOOKED_S = 60.0
"""After the last look at the list rows are no longer drawn ahead."""

_NOBODY = Viewer(actor="")
"""A row is the same for everybody."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A row, and what it rests on."""

    view: RolloutView | None
    rest: tuple[object, ...]
    latencies: int
    drawn: Drawn

    def holds(self, snapshot: Snapshot) -> bool:
        """Whether it is the snapshot's, too. Windows close every five seconds, and change a row only by a latency."""
        return (
            self.view is snapshot.status.rollout
            and self.rest == rests_on(snapshot)
            and (not self.drawn.by_latencies or self.latencies == latencies_counted(snapshot))
        )


class Rows:
    """Every service's row, drawn anew when what it rests on has changed; how old things are is written at each look."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self._drawn: dict[str, _Kept] = {}
        self._looked_s = float("-inf")

    def __call__(self, snapshot: Snapshot) -> Markup:
        """The row as of the snapshot, for somebody who looks."""
        self._looked_s = self._pictures.clock.monotonic_s()
        return self._ready(snapshot).at(snapshot)

    def heard(self, service: str) -> None:
        """There is news of a service: while somebody looks, its row is drawn before it is asked for."""
        if self._pictures.clock.monotonic_s() - self._looked_s <= LOOKED_S:
            self._ready(self._pictures.of(service, _NOBODY))

    def _ready(self, snapshot: Snapshot) -> Drawn:
        kept = self._drawn.get(snapshot.service)
        if kept is None or not kept.holds(snapshot):
            counted, rest = latencies_counted(snapshot), rests_on(snapshot)
            kept = self._drawn[snapshot.service] = _Kept(snapshot.status.rollout, rest, counted, drawn(snapshot))
        return kept.drawn
