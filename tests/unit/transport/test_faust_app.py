"""What every Faust app of davylamp has in common."""

from types import SimpleNamespace
from typing import Any

import pytest

from transport.faust_app import NoTables


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
