"""The Faust app factory: what every Faust service of davylamp has in common, and the traps it keeps shut."""

import asyncio
import contextlib
import io
import logging
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import faust
import mode
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from transport.settings import KafkaSettings

_SESSION_S = 10
_CHATTY = "faust", "mode", "aiokafka"


@contextlib.contextmanager
def alive(service: mode.Service, what: str) -> Iterator[None]:
    """Turn a cancellation that nobody asked for into an error.

    mode ends a cancelled task of a service without a word: the worker would live on, deaf.
    """
    try:
        yield
    except asyncio.CancelledError:
        if service.should_stop:
            raise
        raise RuntimeError(f"{what} was cancelled") from None


class BatchChannel(faust.Channel):
    """A Faust channel that a rebalance of Faust's own consumer neither empties nor blocks.

    Faust clears and suspends every channel that it manages whenever its consumer group changes, which would lose
    batches of a consumer that is not Faust's. This one has its own flow control.
    """

    _queue: Any

    @property
    def queue(self) -> ThrowableQueue:
        if self._queue is None:
            self._queue = ThrowableQueue(maxsize=self.maxsize, flow_control=FlowControlEvent(initially_suspended=False))
        return self._queue

    @property
    def is_full(self) -> bool:
        """Whether whoever puts something waits for whoever takes it. From any thread."""
        return any(subscriber.queue.full() for subscriber in list(self._subscribers))

    @property
    def is_idle(self) -> bool:
        """Whether somebody takes, and has taken everything."""
        subscribers = list(self._subscribers)
        return bool(subscribers) and all(subscriber.queue.empty() for subscriber in subscribers)


class NoTables(TableManager):
    """Faust's manager of tables for an app that has none: its own waits a second for them, in each start of a worker."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class ConsumerThread(aiokafka.AIOKafkaConsumerThread):
    """Faust's consumer, which ends also while Kafka is out of reach.

    Between two tries to fetch aiokafka pauses; told to close in that pause, it cancels it and lets the cancellation out (seen with
    0.14.0, ``Fetcher.close``). mode takes that for nobody's error: the thread ends, and the app waits for its word for a minute.
    """

    async def on_thread_stop(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await super().on_thread_stop()


class Consumer(aiokafka.Consumer):
    """Faust's, on that thread."""

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class Transport(aiokafka.Transport):
    """Faust's, with that consumer."""

    Consumer = Consumer


def credentials(kafka: KafkaSettings) -> Any:
    """The same log-in in Faust's words (`faust.Credentials`); None for a cluster that asks nobody. Raises ``ssl.SSLError`` for bad files."""
    if not kafka.sasl and not kafka.tls:
        return None
    context = _tls(kafka) if kafka.tls else None
    if not kafka.sasl or kafka.sasl_password is None:
        return faust.SSLCredentials(context)
    return faust.SASLCredentials(
        username=kafka.sasl_username,
        password=kafka.sasl_password.get_secret_value(),
        ssl_context=context,
        mechanism=kafka.sasl_mechanism,
    )


def _tls(kafka: KafkaSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(kafka.ssl_ca) if kafka.ssl_ca else None)
    if kafka.ssl_cert is not None and kafka.ssl_key is not None:
        context.load_cert_chain(kafka.ssl_cert, kafka.ssl_key)
    return context


def make_app(name: str, kafka: KafkaSettings, instance: str, data_folder: Path) -> faust.App:
    """A Faust app without tables, leader topic, web server or topic declarations.

    Topics exist before a worker starts (a missing one leaves it deaf), a static member id and a session of ten
    seconds make a restart quick, and one low-rate topic (`services`) keeps Faust's consumer alive: with none it
    crashes at start.
    """
    app = faust.App(
        f"davylamp-{name}",
        broker=kafka.faust_broker(),
        broker_credentials=credentials(kafka),
        TableManager=NoTables,
        store="memory://",
        datadir=str(data_folder),
        origin=name,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        web_enabled=False,
        worker_redirect_stdouts=False,
        consumer_auto_offset_reset="latest",
        broker_session_timeout=_SESSION_S,
        broker_heartbeat_interval=1,
        broker_rebalance_timeout=_SESSION_S,
        consumer_group_instance_id=instance,
    )
    app.transport = Transport(app.conf.broker_consumer, app)

    @app.agent(app.topic("services", value_serializer="raw"), name="keep-alive")
    async def keep_alive(stream: Any) -> None:
        async for _ in stream:
            pass

    return app


def run_worker(app: faust.App) -> NoReturn:
    """Run the app until it is told to stop (exit code 0) or crashes (another one)."""
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    Path(app.conf.datadir).mkdir(parents=True, exist_ok=True)
    nowhere = io.StringIO()  # its spinner writes to the terminal even when it is told to be quiet
    faust.Worker(app, quiet=True, override_logging=False, stdout=nowhere).execute_from_commandline()
    raise SystemExit(0)
