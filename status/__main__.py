"""`python -m status`: the composition root."""

import asyncio
import sys

import uvicorn

from status.app import create_app
from status.feed import TOPICS
from status.settings import StatusSettings
from transport.kafka_log import KafkaReader, KafkaWriter
from transport.process import start_logging
from transport.settings import KafkaSettings, SettingsError


async def serve(kafka: KafkaSettings, settings: StatusSettings) -> None:
    """Serve until told to stop."""
    reader, writer = KafkaReader(kafka, "status", TOPICS), KafkaWriter(kafka, "status")
    app = create_app(reader, writer, tokens=settings.tokens)
    config = uvicorn.Config(
        app, settings.host, settings.port, log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    await uvicorn.Server(config).serve()


def main() -> None:
    """Run the status service until it is told to stop."""
    start_logging()
    try:
        kafka, settings = KafkaSettings.load("kafka"), StatusSettings.load("status")
    except SettingsError as error:
        sys.exit(str(error))
    asyncio.run(serve(kafka, settings))


if __name__ == "__main__":
    main()
