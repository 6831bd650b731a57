"""Keeps what programs ask of all services ready as JSON, so that whoever asks waits only for what has changed."""

from collections.abc import Sequence

from status.views import RolloutStatus


class Documents:
    """Every service's status, written anew when it is another object: the overview makes one whenever it has heard news."""

    def __init__(self) -> None:
        self._written: dict[str, tuple[RolloutStatus, bytes]] = {}

    def __call__(self, statuses: Sequence[RolloutStatus]) -> bytes:
        """All of them as one JSON array."""
        return b"[" + b",".join(map(self._one, statuses)) + b"]"

    def _one(self, status: RolloutStatus) -> bytes:
        kept = self._written.get(status.service)
        if kept is None or kept[0] is not status:
            kept = self._written[status.service] = status, status.model_dump_json().encode()
        return kept[1]
