"""`python -m router`: the composition root."""

import asyncio
import sys

from router.agent import Router
from router.envoy_xds import EnvoyXds
from router.errors import RouterError
from router.fold import TOPICS
from router.settings import RouterSettings
from transport.clock import SystemClock
from transport.kafka_log import KafkaReader, KafkaWriter
from transport.log import LogError
from transport.process import run_until_signalled, start_logging
from transport.settings import KafkaSettings, SettingsError


async def serve() -> None:
    """Serve routes until told to stop. Proxies keep theirs."""
    kafka, settings = KafkaSettings.load("kafka"), RouterSettings.load("router")
    balancer = EnvoyXds(settings.xds_host, settings.xds_port)
    reader, writer = KafkaReader(kafka, settings.name, TOPICS), KafkaWriter(kafka, settings.name)
    try:
        await run_until_signalled(Router(settings.name, reader, writer, balancer, SystemClock()).run())
    finally:
        await balancer.close()
        await reader.close()
        await writer.close()


if __name__ == "__main__":
    start_logging()
    try:
        asyncio.run(serve())
    except (LogError, RouterError, SettingsError) as error:
        sys.exit(f"router: {error}")
