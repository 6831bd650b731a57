"""`davylamp run otel-bridge`: spans that a Collector writes to Kafka → request events, for servers without the SDK.

Events and the place in the spans' topic are one transaction (KIP-98, KIP-447): a bridge that was killed sends nothing twice.
Without it spans would be sent again when the group has given the dead bridge's partitions away, which is longer than
streams know duplicates.
"""

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from pydantic import Field

from davylamp_sdk._event import RequestEvent
from streams.letters import NOT_OTLP, dead_letter
from streams.otel_metrics import Tally, render
from streams.otel_spans import UnfitError, event_of, is_request
from streams.otel_tools import AnsweredTools
from streams.otlp import OtlpError, Span, Unread, spans_in
from streams.outbox import Outgoing
from transport.kafka_log import record_of
from transport.metrics_port import MetricsSettings, open_metrics
from transport.process import loading_settings, needing_kafka, run_beside_signals, start_logging
from transport.settings import KafkaSettings

logger = logging.getLogger(__name__)

GROUP = "davylamp-otel-bridge"
_WAIT_S = 0.2
_SLICE = 25
_POLL_MESSAGES = 500
_POLL_BYTES = 1_000_000
"""Of one transaction: some thousand spans, a fraction of a second."""
_TRANSACTION_S = 10
"""An open transaction holds up who reads the telemetry, also that of others: a bridge that hangs does so for so long. One that is
started again ends its former self's at once."""
_ANSWER_S = 30.0
_STOP_S = 3.0
"""So long a bridge that is told to stop may wait for a Kafka that does not answer: what it had begun never was, and is sent by the next."""
LETTERS_AT_ONCE = 20
"""Dead letters of one transaction: a Collector that writes something else all the time is no flood in the dead-letter topic."""


class OtelBridgeSettings(MetricsSettings):
    """The table ``[otel_bridge]``."""

    source: str = Field(default="otlp_spans", description="What the Collector's Kafka exporter writes traces to.")
    topic: str = Field(default="mcp-requests", description="The telemetry.")
    instance: str = Field(
        default_factory=socket.gethostname,
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="One a bridge, the same after a restart: another of the same name ends this one.",
    )


Refused = Callable[[int, str], None]
"""Told of a message that is no OTLP: its number, and why."""


def events_of(
    raws: Sequence[bytes], tally: Tally, tools: AnsweredTools, refused: Refused = lambda *_: None
) -> Iterator[RequestEvent]:
    """The events in messages; what is none is counted, and said. ``tools`` learns from them, in their order."""
    for number, raw in enumerate(raws):
        try:
            spans = spans_in(raw)
        except OtlpError as error:
            tally.malformed += 1
            refused(number, f"{NOT_OTLP}: {error}")
            logger.warning("no OTLP trace, skipped", extra={"action": "otlp_skipped", "why": str(error)})
            continue
        by_id = {span.id: span for span in spans if isinstance(span, Span)}
        for span in spans:
            if isinstance(span, Span) and not is_request(span):
                tally.others += 1
                continue
            try:
                event = _event(span, by_id, tools)
            except UnfitError as error:
                tally.unfit += 1
                logger.warning("span not counted", extra={"action": "span_unfit", "why": str(error)})
                continue
            tally.requests += 1
            yield event


def _event(span: Span | Unread, others: Mapping[str, Span], tools: AnsweredTools) -> RequestEvent:
    if isinstance(span, Unread):
        raise UnfitError(span.why)
    return event_of(span, others, tools)


class Bridge:
    """Reads, translates, and sends: each span once, for events and commit are in the log together or not at all."""

    def __init__(self, consumer: Any, producer: Any, settings: OtelBridgeSettings) -> None:
        """``producer``: transactional; waits until whatever a bridge of the same instance had begun is ended."""
        self._consumer, self._producer, self._settings = consumer, producer, settings
        self.tally, self._tools = Tally(), AnsweredTools()
        self._messages: list[Any] = []
        self._member: Any = None
        """As whom it polled: what the group knows it as by the time of a commit may be another, whose partitions are others."""
        producer.init_transactions(_ANSWER_S)
        callbacks = {"on_assign": self._assigned, "on_revoke": self._revoked, "on_lost": self._revoked}
        consumer.subscribe([settings.source], **callbacks)

    def step(self) -> None:
        """Some messages, if there are any. Raises ``KafkaException``: the process ends, and is started again."""
        messages = self._gather()
        if not messages:
            return
        letters: list[Outgoing] = []

        def refused(number: int, why: str) -> None:
            if len(letters) < LETTERS_AT_ONCE:
                letters.append(dead_letter(record_of(messages[number]), why))
            else:
                self.tally.unkept += 1

        values = [m.value() or b"" for m in messages]
        events = list(events_of(values, self.tally, self._tools, refused))  # before a transaction is open
        self._producer.begin_transaction()
        for event in events:
            self._send(Outgoing(self._settings.topic, None, event.producer.encode(), event.dump()))
        for letter in letters:
            self._send(letter)
        nexts = {(m.topic(), m.partition()): m.offset() + 1 for m in messages}
        read = [TopicPartition(*place, offset) for place, offset in nexts.items()]
        self._producer.send_offsets_to_transaction(read, self._member, _ANSWER_S)
        self._producer.commit_transaction(_ANSWER_S)

    def close(self) -> None:
        """Leave the group, so that another goes on at once."""
        self._consumer.close()

    def _gather(self) -> list[Any]:
        # A rebalance may happen in any of these calls: it takes what was polled of a lost partition off the list.
        self._messages = []
        more = self._poll(1, _WAIT_S)
        size = sum(map(len, more))
        while more and size < _POLL_BYTES and len(self._messages) < _POLL_MESSAGES:
            more = self._poll(_SLICE, 0)
            size += sum(map(len, more))
        for message in self._messages:
            if message.error() is not None:
                raise KafkaException(message.error())
        return self._messages

    def _poll(self, count: int, timeout_s: float) -> list[Any]:
        more = list(self._consumer.consume(count, timeout_s))
        self._messages += more
        if self._member is None and more:
            self._member = self._consumer.consumer_group_metadata()
        return more

    def _assigned(self, _: Any, parts: Sequence[TopicPartition]) -> None:
        committed = self._consumer.committed(parts, _ANSWER_S) if parts else ()
        self._consumer.assign([TopicPartition(part.topic, part.partition, self._start(part)) for part in committed])
        self._member = None

    def _start(self, committed: TopicPartition) -> int:
        """Where to read on; what retention took meanwhile is counted, and said."""
        if committed.error is not None:
            raise KafkaException(committed.error)
        low, high = self._consumer.get_watermark_offsets(committed, _ANSWER_S)
        place = {"partition": committed.partition, "committed": committed.offset, "first": low, "end": high}
        if committed.offset > high:
            logger.warning(
                "the spans' topic was made anew: read from its start", extra={"action": "spans_anew", **place}
            )
            return int(low)
        if 0 <= committed.offset < low:
            self.tally.lost += low - committed.offset
            logger.warning("retention took spans unread", extra={"action": "spans_lost", **place})
        return int(max(committed.offset, low))

    def _revoked(self, _: Any, parts: Sequence[TopicPartition]) -> None:
        """Whoever gets a partition reads it from its commit: what was polled of it and is not sent yet is theirs.

        The group would not refuse it: by the time it is committed, this bridge is a member of the new generation.
        """
        gone = {(part.topic, part.partition) for part in parts}
        self._messages[:] = [
            m for m in self._messages if m.error() is not None or (m.topic(), m.partition()) not in gone
        ]

    def _send(self, sent: Outgoing) -> None:
        while True:
            try:
                self._producer.produce(sent.topic, sent.value, sent.key, headers=dict(sent.headers))
            except BufferError:
                self._producer.poll(_WAIT_S)
                continue
            self._producer.poll(0)
            return


def make_bridge(settings: OtelBridgeSettings, kafka: KafkaSettings) -> Bridge:
    """On Kafka. Raises ``KafkaException`` without one."""
    client = kafka.librdkafka(f"{GROUP}/{settings.instance}")
    consumer = Consumer(
        client
        | {
            "group.id": GROUP,
            "session.timeout.ms": 10_000,
            "heartbeat.interval.ms": 1000,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",  # it says itself where it begins; what it may not skip in silence ends it
            "isolation.level": "read_committed",
        }
    )
    producer = Producer(
        client
        | {
            "transactional.id": f"{GROUP}-{settings.instance}",
            "transaction.timeout.ms": _TRANSACTION_S * 1000,
            "acks": "all",
            "linger.ms": 5,
            "compression.type": "lz4",
        }
    )
    return Bridge(consumer, producer, settings)


def main() -> None:
    """Run until told to stop (exit code 0); any error ends it with another one, and with a sentence where it is Kafka's."""
    start_logging()
    with loading_settings():
        settings, kafka = OtelBridgeSettings.load("otel_bridge"), KafkaSettings.load("kafka")

    def work(stop: threading.Event) -> None:
        bridge = make_bridge(settings, kafka)
        with loading_settings():
            open_metrics(settings, "otel_bridge", lambda: render(bridge.tally))
        while not stop.is_set():
            bridge.step()
        bridge.close()

    with needing_kafka("otel-bridge", kafka):
        run_beside_signals(work, _STOP_S)


if __name__ == "__main__":
    main()
