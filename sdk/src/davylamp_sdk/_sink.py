"""Where events leave the process: the port, and Kafka behind it."""

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

logger = logging.getLogger("davylamp_sdk")

DEFAULT_TOPIC: Final = "mcp-requests"


Settled = Callable[[bool], None]
"""What a sink calls when it knows what became of a message: whether it was delivered."""


class Sink(Protocol):
    """Takes messages off the emitter's one thread; no other thread ever calls it.

    Of an accepted message the sink calls ``settled`` exactly once, within a later :meth:`poll` or :meth:`flush`; of one
    that it refused or met with an exception, never. Any method may raise: the emitter counts it and goes on. A method
    that hangs costs events, never a request.
    """

    def send(self, key: bytes, value: bytes, settled: Settled) -> bool:
        """Accept one message without waiting for anything. False: no room now, offer the same one again later."""
        ...

    def poll(self) -> None:
        """Do pending work without waiting, and settle what became known since the last call."""
        ...

    def flush(self, timeout_s: float) -> None:
        """Wait at most ``timeout_s`` for accepted messages, and settle those of which it became known what they came to."""
        ...


PRODUCER_SETTINGS: Final[Mapping[str, str | int | bool]] = MappingProxyType(
    {
        # Retries neither reorder nor double events, and an event that is lost is known to be lost.
        "acks": "all",
        "enable.idempotence": True,
        # The emitter already gathers 100 ms of events: long enough for one such round to share a batch, no longer.
        "linger.ms": 5,
        # As cheap to write as any other; the cheapest to read, and each event is read more often than written.
        "compression.type": "lz4",
        # Memory stays bounded while Kafka is away; what no longer fits waits, and ages, in the emitter's backlog.
        "queue.buffering.max.messages": 10_000,
        "queue.buffering.max.kbytes": 8_192,
        "message.timeout.ms": 30_000,
        "reconnect.backoff.max.ms": 1_000,
        "topic.metadata.refresh.interval.ms": 10_000,  # a stopping broker may say that it knows no topic
        "socket.keepalive.enable": True,
        # Each failed reconnect would be a line on the server's stderr; the error callback says it once.
        "log_level": 0,
        "log.connection.close": False,
    }
)


GIVE_UP_S: Final = 1.0
"""For a producer that is given up to say which messages it has lost: it knows them all."""


class KafkaSink:
    """Produces to one topic with librdkafka.

    ``bootstrap`` is ``host:port[,host:port]``. ``settings`` are librdkafka's (``CONFIGURATION.md``), laid over
    :data:`PRODUCER_SETTINGS`: TLS, SASL. Unreachable brokers are no error: messages wait in librdkafka's bounded
    queue and fail after ``message.timeout.ms``.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str = DEFAULT_TOPIC,
        *,
        client: str = "davylamp-sdk",
        settings: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        from confluent_kafka import Producer  # whoever only reads events needs no librdkafka

        self._make_producer = Producer
        self._topic = topic
        self._settings = {
            **PRODUCER_SETTINGS,
            "bootstrap.servers": bootstrap,
            "client.id": client,
            "error_cb": self._on_error,
            **settings,
        }
        self._producer: Any = None
        self._lost_for_good = False
        self._errors_logged: set[str] = set()

    def send(self, key: bytes, value: bytes, settled: Settled) -> bool:
        if self._producer is None:
            # Not before the first message: librdkafka's threads would not survive a server that forks its workers.
            self._producer = self._make_producer(self._settings)
        try:
            self._producer.produce(
                self._topic, key=key, value=value, on_delivery=lambda error, _message: settled(error is None)
            )
        except BufferError:
            return False
        return True

    def poll(self) -> None:
        if self._producer is not None:
            self._producer.poll(0)
        if self._lost_for_good:
            self._give_up()

    def flush(self, timeout_s: float) -> None:
        if self._producer is not None:
            self._producer.flush(timeout_s)

    def _give_up(self) -> None:
        """An idempotent producer that has lost its order refuses everything from then on: the next message gets a new one."""
        producer, self._producer, self._lost_for_good = self._producer, None, False
        if producer is not None:
            producer.purge()
            producer.flush(GIVE_UP_S)

    def _on_error(self, error: Any) -> None:
        """Log the first of each kind: a wrong password or a dead broker is told here and nowhere else."""
        self._lost_for_good = self._lost_for_good or bool(error.fatal())
        name = str(error.name())
        if name not in self._errors_logged:
            self._errors_logged.add(name)
            logger.warning("davylamp: %s", error.str(), extra={"action": "telemetry_kafka_error", "error": name})
