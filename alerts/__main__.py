"""`python -m alerts`: the composition root."""

import asyncio

from alerts.agent import TOPICS, Alerts
from transport.clock import SystemClock
from transport.kafka_log import KafkaReader
from transport.process import run_until_signalled, start_logging
from transport.settings import KafkaSettings


async def serve() -> None:
    """Follow the log until told to stop."""
    reader = KafkaReader(KafkaSettings.load("kafka"), "alerts", TOPICS)
    try:
        await run_until_signalled(Alerts(reader, SystemClock()).run())
    finally:
        await reader.close()


if __name__ == "__main__":
    start_logging()
    asyncio.run(serve())
