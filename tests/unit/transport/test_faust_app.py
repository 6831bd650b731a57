"""What every Faust app of davylamp has in common."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import Fetcher

from transport.faust_app import NoTables, make_app
from transport.settings import KafkaSettings


async def test_an_app_without_tables_waits_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[Any] = []

    async def happen(*what: Any) -> None:
        happened.append(what)

    tables = NoTables(SimpleNamespace())
    monkeypatch.setattr(tables, "_recovery", SimpleNamespace(start=lambda: happen("recovery")))
    monkeypatch.setattr(tables, "_update_channels", lambda: happen("channels"))
    monkeypatch.setattr(tables, "sleep", lambda seconds: happen("slept", seconds))
    await tables.on_start()
    assert happened == [("channels",), ("recovery",)]


async def test_an_app_ends_while_its_consumer_pauses_because_kafka_is_out_of_reach(tmp_path: Path) -> None:
    """As aiokafka closes then: the pause is cancelled, and nobody catches that."""
    app = make_app("test", KafkaSettings(bootstrap="127.0.0.1:1"), "t", tmp_path)
    thread = app.consumer._thread
    fetcher = Fetcher.__new__(Fetcher)
    pauses = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(2)]
    fetcher._fetch_task, fetcher._fetch_waiters, fetcher._pending_tasks = pauses[0], set(), {pauses[1]}
    await asyncio.sleep(0)
    thread._consumer = SimpleNamespace(stop=fetcher.close)
    await thread.on_thread_stop()
    assert all(pause.cancelled() for pause in pauses)
    thread.thread_loop.close()
