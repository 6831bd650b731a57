"""A process's entry point: what runs together ends together."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException

from transport.process import Repeats, loading_settings, needing_kafka, run_beside_signals, run_together
from transport.settings import KafkaSettings


async def test_the_first_to_end_ends_the_others() -> None:
    ended: list[str] = []

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("for ever")

    async def briefly() -> None:
        ended.append("briefly")

    await run_together(for_ever(), briefly())
    assert ended == ["briefly", "for ever"]


async def test_an_exception_of_any_of_them_propagates_once_all_have_ended() -> None:
    ended = asyncio.Event()

    async def for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fails() -> None:
        raise ArithmeticError("no")

    with pytest.raises(ArithmeticError, match="no"):
        await run_together(for_ever(), fails())
    assert ended.is_set()


async def test_who_is_cancelled_cancels_them_all() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def for_ever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(run_together(for_ever()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


def test_what_a_library_repeats_is_written_once_in_ten_seconds_with_how_often_it_was_said() -> None:
    repeats = Repeats("aiokafka")

    def passes(name: str, at: float, line: int = 1) -> logging.LogRecord | None:
        record = logging.LogRecord(name, logging.ERROR, "x.py", line, "Unable to connect", (), None)
        record.created = at
        return record if repeats.filter(record) else None

    assert passes("aiokafka.client", 100.0)
    assert [passes("aiokafka.client", at) for at in (100.1, 105.0, 109.9)] == [None] * 3
    assert passes("aiokafka.client", 100.2, line=2)
    again = passes("aiokafka.client", 110.0)
    assert again is not None
    assert vars(again)["left_out"] == 3
    assert [bool(passes("router.agent", at)) for at in (100.0, 100.1)] == [True, True]


def test_settings_that_are_not_understood_end_the_process_with_what_is_wrong(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended, loading_settings():
        KafkaSettings.load("kafka", {"DAVYLAMP_KAFKA_BOOTSRAP": "kafka:9092"})
    assert ended.value.code == 2
    assert "[kafka] bootsrap: is not known here; did you mean bootstrap?" in capsys.readouterr().err


def test_without_kafka_a_process_ends_with_a_sentence_that_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, needing_kafka("streams", KafkaSettings(bootstrap="kafka:9092")):
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))
    assert str(ended.value.code).startswith("streams: Kafka at kafka:9092: ")
    assert "KafkaError" not in str(ended.value.code)


@pytest.fixture
def handlers() -> Iterator[None]:
    """A process sets them once; this one lives on."""
    numbers = signal.SIGTERM, signal.SIGINT
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_waits_inside_a_library_is_left_when_the_process_is_told_to_stop(number: signal.Signals) -> None:
    answered, returned = threading.Event(), threading.Event()

    def work(_: threading.Event) -> None:
        os.kill(os.getpid(), number)
        answered.wait()
        returned.set()

    run_beside_signals(work, patience_s=0.0)
    assert not returned.is_set()
    answered.set()


@pytest.mark.usefixtures("handlers")
def test_who_looks_at_the_event_ends_in_order() -> None:
    ended: list[str] = []

    def work(stop: threading.Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        stop.wait()
        ended.append("in order")

    run_beside_signals(work, patience_s=30.0)
    assert ended == ["in order"]


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("error", [ArithmeticError("no"), SystemExit(2)])
def test_what_blocking_work_fails_with_propagates(error: BaseException) -> None:
    def work(_: threading.Event) -> None:
        raise error

    with pytest.raises(type(error)):
        run_beside_signals(work, patience_s=30.0)
