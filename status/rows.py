"""Keeps the list's rows ready, so that whoever asks for it waits for none to be drawn."""

from markupsafe import Markup

from schemas.control import RolloutView
from status.page.listed import Drawn, drawn, rests_on
from status.page.snapshot import Snapshot, Viewer
from status.picture import Pictures

LOOKED_S = 60.0
"""After the last look at the list rows are no longer drawn ahead."""

_NOBODY = Viewer(actor="")
"""A row is the same for everybody."""


class Rows:
    """Every service's row, drawn anew when what it rests on has changed; how old things are is written at each look."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self._drawn: dict[str, tuple[RolloutView | None, tuple[object, ...], Drawn]] = {}
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
        view, rest = snapshot.status.rollout, rests_on(snapshot)
        known = self._drawn.get(snapshot.service)
        if known is None or known[0] is not view or known[1] != rest:
            known = self._drawn[snapshot.service] = view, rest, drawn(snapshot)
        return known[2]
