"""What is said on `proxy-reports`, beside the routes: neither proxies nor the log ever wait for it, nor it for them."""

import logging
from collections.abc import Iterable

from router.newest import Newest
from router.snapshot import ServiceRoute
from router.witness import Witness
from schemas.control import ProxyReport
from schemas.ledger import Ledger
from schemas.standing import LIVE, Phase
from transport.log import LogError, Writer

logger = logging.getLogger(__name__)

_LIVELY: frozenset[Phase] = LIVE | {"rolled_back", "completed"}
"""While both versions of a rollout serve."""


class ProxyReports(Newest[ProxyReport]):
    """Appends proxy reports, of each service and proxy the newest."""

    def __init__(self, writer: Writer, witness: Witness) -> None:
        super().__init__(self._publish, key=lambda report: (report.service, report.proxy))
        self._writer = writer
        self._witness = witness

    def tell(self, routes: Iterable[ServiceRoute], ledger: Ledger, now_ms: int) -> None:
        """Tell what is due; to be called once a second, which is then the most that is told of a service and proxy."""
        listed = list(routes)
        lively = {r.service for r in listed if ledger.of(r.service).standing.phase in _LIVELY}
        for report in self._witness.due(listed, lively, now_ms):
            self.offer(report)

    async def _publish(self, report: ProxyReport) -> bool:
        try:
            await self._writer.append("proxy-reports", report.service, report.dump())
        except LogError as error:
            about = {"service": report.service, "proxy": report.proxy, "why": str(error)}
            logger.warning("proxy report not written", extra={"action": "proxy_report_unwritten", **about})
            return False
        return True
