"""What runs under `davylamp up`."""

from typing import Any, cast

import pytest

from cli import stack
from cli.stack import Stack


class Kafka:
    """Lives for some looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    @property
    def pid(self) -> int | None:
        self.looks -= 1
        return 47 if self.looks >= 0 else None


async def test_a_local_kafka_that_ends_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "GONE_WITHIN_S", 0.0)
    kafka = Kafka(looks=3)
    await Stack(cast("Any", None), cast("Any", kafka)).kafka_gone()
    assert kafka.looks == -1
