"""`python -m status`: the composition root."""

import asyncio

import uvicorn
from pydantic import Field

from status.app import create_app
from status.feed import TOPICS
from transport.kafka_log import KafkaReader, KafkaWriter
from transport.process import start_logging
from transport.settings import KafkaSettings, Settings


class StatusSettings(Settings):
    """Settings of the status service."""

    host: str = "127.0.0.1"
    port: int = Field(default=8642, ge=1, le=65535)


async def serve() -> None:
    """Serve until told to stop."""
    kafka, settings = KafkaSettings.load("kafka"), StatusSettings.load("status")
    app = create_app(KafkaReader(kafka, "status", TOPICS), KafkaWriter(kafka, "status"))
    config = uvicorn.Config(
        app, settings.host, settings.port, log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    start_logging()
    asyncio.run(serve())
