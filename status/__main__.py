"""`python -m status`: the composition root."""

import asyncio
import gc
import sys

from status import lately
from status.app import create_app
from status.feed import TOPICS
from status.server import Server
from status.sessions import signing_key
from status.settings import StatusSettings
from transport.clock import SystemClock
from transport.kafka_log import KafkaReader, KafkaWriter
from transport.process import loading_settings, start_logging
from transport.settings import KafkaSettings

COLLECTS_AFTER = 700, 2, 5000
"""CPython's own are 700, 10, 10. With fifty rollouts a full collection took 50 ms of CPU twice a minute, and one of the middle
generation 12, to find next to nothing: hardly anything here makes cycles, and what ends with a request is found young."""


async def serve(kafka: KafkaSettings, settings: StatusSettings) -> str | None:
    """Serve until told to stop; else why it cannot go on."""
    clock = SystemClock()
    since_ms = clock.now_ms() - lately.REACHES_BACK_MS
    app = create_app(
        KafkaReader(kafka, "status", TOPICS),
        KafkaWriter(kafka, "status"),
        telemetry=KafkaReader(kafka, "status-telemetry", lately.TOPICS, since_ms=since_ms),
        tokens=settings.tokens,
        clock=clock,
        signs_by=signing_key(settings) if settings.tokens else None,
    )
    await Server(app, settings.host, settings.port).serve()
    why: str | None = app.state.ending.why
    return why


def main() -> None:
    """Run the status service until it is told to stop (exit code 0), or cannot go on: whoever runs it starts it again."""
    start_logging()
    with loading_settings():
        kafka, settings = KafkaSettings.load("kafka"), StatusSettings.load("status")
    gc.collect()
    gc.freeze()  # a full collection walked all modules each time: a pause of 100 ms of CPU, several times that under load
    gc.set_threshold(*COLLECTS_AFTER)
    why = asyncio.run(serve(kafka, settings))
    if why is not None:
        sys.exit(f"status: {why}")


if __name__ == "__main__":
    main()
