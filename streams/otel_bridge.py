"""`davylamp run otel-bridge`: spans that a Collector writes to Kafka → request events, for servers without the SDK."""

import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer
from pydantic import Field

from davylamp_sdk._event import RequestEvent
from streams.otel_spans import UnfitError, event_of, is_request
from streams.otlp import OtlpError, spans_in
from transport.process import loading_settings, start_logging
from transport.settings import KafkaSettings, Settings

logger = logging.getLogger(__name__)

GROUP = "davylamp-otel-bridge"
_POLL = 500
_WAIT_S = 0.2
_FLUSH_S = 30.0


class OtelBridgeSettings(Settings):
    """The table ``[otel_bridge]``."""

    source: str = Field(default="otlp_spans", description="What the Collector's Kafka exporter writes traces to.")
    topic: str = Field(default="mcp-requests", description="The telemetry.")


@dataclass(slots=True)
class Tally:
    """What became of the spans, since the bridge started."""

    requests: int = 0
    others: int = 0
    """Spans of anything but an MCP request."""
    unfit: int = 0
    malformed: int = 0
    """Messages."""


def events_of(raws: Sequence[bytes], tally: Tally) -> Iterator[RequestEvent]:
    """The events in messages; what is none is counted, and said."""
    for raw in raws:
        try:
            spans = spans_in(raw)
        except OtlpError as error:
            tally.malformed += 1
            logger.warning("no OTLP trace, skipped", extra={"action": "otlp_skipped", "why": str(error)})
            continue
        by_id = {span.id: span for span in spans}
        for span in spans:
            if not is_request(span):
                tally.others += 1
                continue
            try:
                event = event_of(span, by_id)
            except UnfitError as error:
                tally.unfit += 1
                logger.warning("span not counted", extra={"action": "span_unfit", "why": str(error)})
                continue
            tally.requests += 1
            yield event


class Bridge:
    """Reads, translates, and commits what is in the log: after a crash some spans are sent twice, and are duplicates."""

    def __init__(self, consumer: Any, producer: Any, settings: OtelBridgeSettings) -> None:
        self._consumer, self._producer, self._settings = consumer, producer, settings
        self.tally = Tally()

    def step(self) -> None:
        """Some messages, if there are any. Raises ``KafkaException``: the process ends, and is started again."""
        messages = self._consumer.consume(_POLL, _WAIT_S)
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
        if not messages:
            return
        refused: list[Any] = []
        for event in events_of([m.value() or b"" for m in messages], self.tally):
            self._producer.produce(
                self._settings.topic,
                event.dump(),
                event.producer.encode(),
                on_delivery=lambda error, _: refused.append(error) if error else None,
            )
            self._producer.poll(0)
        if self._producer.flush(_FLUSH_S) or refused:
            raise KafkaException(refused[0] if refused else "events were not acknowledged in time")
        self._consumer.commit(asynchronous=False)


def make_bridge(settings: OtelBridgeSettings, kafka: KafkaSettings) -> Bridge:
    """On Kafka."""
    consumer = Consumer(
        kafka.librdkafka("davylamp-otel-bridge")
        | {"group.id": GROUP, "enable.auto.commit": False, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([settings.source])
    producer = Producer(
        kafka.librdkafka("davylamp-otel-bridge")
        | {"enable.idempotence": True, "acks": "all", "linger.ms": 5, "compression.type": "lz4"}
    )
    return Bridge(consumer, producer, settings)


def main() -> None:
    """Run until told to stop (exit code 0); any error ends it with another one."""
    start_logging()
    with loading_settings():
        settings, kafka = OtelBridgeSettings.load("otel_bridge"), KafkaSettings.load("kafka")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    bridge = make_bridge(settings, kafka)
    while not stop.is_set():
        bridge.step()


if __name__ == "__main__":
    main()
