"""Which services are registered on our telemetry topic: a fold of `services`. Pure."""

import logging

from pydantic import ValidationError

from schemas.service import Service
from transport.log import Record

logger = logging.getLogger(__name__)


class Registry:
    """The services that get a window even when nothing was heard of them."""

    def __init__(self, telemetry: str) -> None:
        self._telemetry = telemetry
        self._names: set[str] = set()

    def read(self, record: Record) -> None:
        """Fold one record: a service's newest definition, or its removal (no value). A record nobody can read is skipped."""
        name = (record.key or b"").decode(errors="replace")
        self._names.discard(name)
        if record.value is None:
            return
        try:
            service = Service.read(record.value)
        except ValidationError as error:
            logger.warning(
                "service not understood, skipped",
                extra={"action": "service_skipped", "service": name, "why": str(error)},
            )
            return
        if service.telemetry == self._telemetry:
            self._names.add(service.service)

    def services(self) -> frozenset[str]:
        """Their names."""
        return frozenset(self._names)
