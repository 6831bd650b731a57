"""`python -m router`: the composition root."""

import asyncio
import sys

from router import direct, metrics, report_sinks
from router.agent import Router
from router.disk import Disk
from router.envoy_xds import EnvoyXds
from router.errors import RouterError
from router.fold import TOPICS
from router.freshness import Freshness
from router.keeper import Keeper
from router.settings import RouterSettings
from router.witness import Witness
from transport.clock import SystemClock
from transport.kafka_log import KafkaReader, KafkaWriter
from transport.log import LogError
from transport.metrics_port import open_metrics
from transport.process import loading_settings, run_together, run_until_signalled, start_logging
from transport.settings import KafkaSettings, SettingsError


async def serve(kafka: KafkaSettings, settings: RouterSettings) -> None:
    """Serve routes until told to stop. Proxies keep theirs."""
    reader, writer = KafkaReader(kafka, settings.name, TOPICS), KafkaWriter(kafka, settings.name)
    try:
        keeper = Keeper(Disk(settings.data_folder), writer)
        proven, fresh = keeper.acknowledged.snapshot, Freshness(reader, keeper)
        clock = SystemClock()
        witness = Witness(settings.name, clock.now_ms())
        balancer = EnvoyXds(settings.xds_host, settings.xds_port, proven, fresh, settings.xds_tls)
        balancer.serve_beside(report_sinks.handlers(witness, clock, certified=settings.xds_tls is not None))
        try:
            router = Router(settings.name, reader, writer, balancer, clock, keeper, witness)
            open_metrics(settings, "router", lambda: metrics.render(router))
            await run_until_signalled(_both(router, settings))
        finally:
            await balancer.close()
    finally:
        await reader.close()
        await writer.close()


async def _both(router: Router, settings: RouterSettings) -> None:
    """The router, and its direct port if it has a token: either ends the other."""
    work = [router.run()]
    if settings.direct_token is not None:
        host, port, tls = settings.direct_host, settings.direct_port, settings.direct_tls
        work.append(direct.serve(router, settings.direct_token, host, port, tls))
    await run_together(*work)


def main() -> None:
    """Run a router until it is told to stop."""
    start_logging()
    with loading_settings():
        kafka, settings = KafkaSettings.load("kafka"), RouterSettings.load("router")
    try:
        asyncio.run(serve(kafka, settings))
    except (LogError, RouterError, SettingsError) as error:
        sys.exit(f"router: {error}")


if __name__ == "__main__":
    main()
