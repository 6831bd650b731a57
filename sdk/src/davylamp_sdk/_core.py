"""What every adapter records with: a clock, the watch, the units, and the emitter behind them."""

from collections.abc import Mapping
from typing import TypedDict

from davylamp_sdk._clock import Clock, SystemClock
from davylamp_sdk._emitter import Emitter, Stats
from davylamp_sdk._faults import Faults
from davylamp_sdk._settings import Settings
from davylamp_sdk._sink import KafkaSink, Sink
from davylamp_sdk._units import Units
from davylamp_sdk._watch import Watch

HUNG_AFTER_S = 60.0


class Options(TypedDict, total=False):
    """What every recorder takes. What is not given comes from the environment (:class:`Settings`)."""

    service: str | None
    version: str | None
    instance: str | None
    bootstrap: str | None
    topic: str | None
    key: str | None
    """The service's secret, of at least 16 characters: what principals and cookies are hashed with."""
    hung_after_s: float
    """A request that has run for so long is told as ``timeout``."""
    sink: Sink | None
    """In place of Kafka."""
    clock: Clock | None


class Core:
    """The collaborators of one recorder. Raises ``ValueError`` if a setting is missing or makes no sense."""

    def __init__(self, options: Options) -> None:
        settings = Settings.read(_texts(options))
        self.clock: Clock = options.get("clock") or SystemClock()
        self.faults: Faults = Faults()
        self.units: Units = Units(settings.key)
        self.watch: Watch = Watch(options.get("hung_after_s", HUNG_AFTER_S))
        self._identity: dict[str, str | bool] = dict(settings.identity)
        self.emitter: Emitter = Emitter(
            options.get("sink") or _kafka(settings),
            self._identity,
            clock=self.clock,
            faults=self.faults,
            look=self._look,
        )

    def stats(self) -> Stats:
        """What became of the requests so far."""
        return self.emitter.stats(late=self.watch.late)

    def tell_ends(self) -> None:
        """From now on every event says that ends of sessions are told."""
        self._identity["tells_ends"] = True

    def _look(self) -> float:
        return self.watch.look(self.clock.monotonic_s())


def _texts(options: Options) -> Mapping[str, str | None]:
    return {
        "service": options.get("service"),
        "version": options.get("version"),
        "instance": options.get("instance"),
        "bootstrap": options.get("bootstrap"),
        "topic": options.get("topic"),
        "key": options.get("key"),
    }


def _kafka(settings: Settings) -> KafkaSink:
    return KafkaSink(settings.require_bootstrap(), settings.topic, client=f"davylamp-sdk/{settings.instance}")
