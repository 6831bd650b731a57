"""What every service's process does at its entry point: logging, and stopping when told to."""

import asyncio
import contextlib
import json
import logging
import math
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from confluent_kafka import KafkaException

from transport.settings import EXIT_WRONG, KafkaSettings, SettingsError

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_REPEATED_AFTER_S = 10.0


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and whatever came as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {k: v for k, v in vars(record).items() if k not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class Repeats(logging.Filter):
    """Let what a library says again and again through once in ten seconds, with how often it was said since.

    Without it the clients of Kafka write hundreds of lines a second while no broker can be reached.
    """

    def __init__(self, *libraries: str) -> None:
        super().__init__()
        self._libraries = libraries
        self._told: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """By logger and line of code; what our own loggers say always passes."""
        if not record.name.startswith(self._libraries):
            return True
        place = record.name, record.lineno
        at, left_out = self._told.get(place, (-math.inf, 0))
        if record.created - at < _REPEATED_AFTER_S:
            self._told[place] = at, left_out + 1
            return False
        self._told[place] = record.created, 0
        if left_out:
            record.left_out = left_out
        return True


def start_logging(level: int = logging.INFO) -> None:
    """JSON lines on stderr. Only entry points call it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(Repeats("aiokafka", "librdkafka"))
    logging.basicConfig(level=level, handlers=[handler], force=True)


@contextlib.contextmanager
def loading_settings() -> Iterator[None]:
    """What is loaded inside must be understood, or the process ends: with what is wrong, not with a traceback."""
    try:
        yield
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_WRONG)


@contextlib.contextmanager
def needing_kafka(service: str, kafka: KafkaSettings) -> Iterator[None]:
    """What Kafka does not give inside ends the process: with what is wrong, not with a traceback. Whoever runs it starts it again."""
    try:
        yield
    except KafkaException as error:
        sys.exit(f"{service}: Kafka at {kafka.bootstrap}: {error.args[0].str()}")


def run_beside_signals(work: Callable[[threading.Event], None], patience_s: float) -> None:
    """Run `work`, which blocks, until it ends or the process gets SIGTERM or SIGINT: then the event is set, for `work` to look at.

    It runs in a thread of its own, since Python hears no signal while the main thread waits inside a library. Work that has not
    returned `patience_s` later is left as it is, and ends with the process. An exception of `work` propagates.
    """
    stop, over, failed = threading.Event(), threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            work(stop)
        except BaseException as error:  # noqa: BLE001 - raised again where somebody listens
            failed.append(error)
        finally:
            over.set()

    def told(*_: object) -> None:
        stop.set()
        over.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)
    working = threading.Thread(target=run, name="work", daemon=True)
    working.start()
    over.wait()
    working.join(patience_s)
    if failed:
        raise failed[0]


async def run_together(*works: Coroutine[Any, Any, None]) -> None:
    """Run all of `works` until the first ends, then cancel the others; its exception propagates."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def run_until_signalled(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` until it ends or the process gets SIGTERM or SIGINT; then cancel it and return.

    An exception of `work` propagates: a service that cannot go on ends with a non-zero code and is restarted.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    task, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if task.done():
        task.result()
        return
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
