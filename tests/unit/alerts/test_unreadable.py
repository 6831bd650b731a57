"""Telemetry that nobody can read and that keeps coming is told of once a topic, rollout or not, and it ends."""

from dataclasses import dataclass, field
from random import Random

import pytest

from alerts.cause import Again, Event
from alerts.causes import Causes
from alerts.unreadable import WindowHead
from schemas.windows import Cell, CohortWindow
from streams.encoding import encode, key_of
from tests.builders import entry
from tests.unit.alerts.test_causes import Story, hold

WINDOW_S = 5
TOPIC = "mcp-requests"


def window(number: int, malformed: int = 0, **changes: object) -> CohortWindow:
    """The final one that ends after so many windows."""
    fields = {
        "service": "orders",
        "source": TOPIC,
        "partition": 0,
        "partitions": 2,
        "window_start": (number - 1) * WINDOW_S * 1000,
        "window_ms": WINDOW_S * 1000,
        "first_offset": 0,
        "through": 1,
        "clock_ms": number * WINDOW_S * 1000,
        "final": True,
        "instance": "w1",
        "malformed": malformed,
    }
    return CohortWindow.model_validate(fields | changes)


def head(window: CohortWindow) -> WindowHead:
    found = WindowHead.of(key_of(window), window.dump())
    assert found is not None
    return found


@dataclass
class Told:
    """Reads windows as they close, and looks."""

    causes: Causes = field(default_factory=Causes)
    events: list[Event] = field(default_factory=list)

    def read(self, *windows: CohortWindow) -> "Told":
        for one in windows:
            self.causes = self.causes.read_window(head(one), one.window_end / 1000)
        return self.look(windows[-1].window_end / 1000)

    def look(self, now_s: float) -> "Told":
        self.causes, events = self.causes.look(now_s)
        self.events += events
        return self

    @property
    def said(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


def flooded(windows: int = 14, malformed: int = 10) -> Told:
    """Something that nobody can read in each of so many windows, from the first on."""
    told = Told()
    for number in range(1, windows + 1):
        told.read(window(number, malformed))
    return told


def test_what_keeps_coming_for_a_minute_is_told_once_with_numbers() -> None:
    assert flooded(12).said == []
    told = flooded(14)
    (began,) = told.events
    assert (began.cause.key, began.cause.severity, began.cause.service) == (f"{TOPIC}/unreadable", "notice", TOPIC)
    assert began.cause.since_s == WINDOW_S
    assert began.cause.sentence.startswith(f"130 messages on {TOPIC} could not be read lately")


@pytest.mark.parametrize(("malformed", "unkept", "told"), [(200, 0, 0), (21, 1, 1), (900, 700, 1)])
def test_what_is_not_kept_either_is_told_at_once(malformed: int, unkept: int, told: int) -> None:
    story = Told().read(window(1, malformed, unkept=unkept)).read(window(2))
    assert story.said == ["Began"] * told
    for event in story.events:
        assert f" {unkept} of them are not in the dead-letter topic" in event.cause.sentence
    for number in range(3, 14):
        story.read(window(number))
    assert story.said == ["Began", "Ended"][: 2 * told]


def test_it_is_over_after_a_minute_of_windows_without() -> None:
    told = flooded()
    for number in range(15, 26):
        assert told.read(window(number)).said == ["Began"]
    told.read(window(26))
    assert told.said == ["Began", "Ended"]
    assert told.causes.burning == {}


def test_streams_that_stand_still_end_nothing() -> None:
    assert flooded().look(100_000.0).said == ["Began"]


@pytest.mark.parametrize("every", [13, 40])
def test_what_comes_now_and_then_is_not_told(every: int) -> None:
    told = Told()
    for number in range(1, 400):
        told.read(window(number, malformed=1 if number % every == 0 else 0))
    assert told.said == []


def test_all_services_and_a_worker_started_again_say_the_same_of_a_window_and_it_counts_once() -> None:
    told = Told()
    for number in range(1, 15):
        told.read(*(window(number, 10, service=name) for name in ("orders", "stock", "orders")))
    assert [event.cause.sentence.partition(" ")[0] for event in told.events] == ["130"]


def test_partitions_add_up_and_topics_are_apart_in_whatever_order_they_come() -> None:
    dice, told = Random(1), Told()
    for number in range(1, 30):
        some = [window(number, 10 * p, partition=p) for p in range(2)]
        some.append(window(number, 0, source="mcp-requests.orders"))
        dice.shuffle(some)
        told.read(*some)
    assert [(event.cause.service, type(event).__name__) for event in told.events] == [(TOPIC, "Began")]


def test_a_window_in_parts_says_it_in_the_first() -> None:
    cells = tuple(Cell(version=f"v{i}", label="-", tools={}) for i in range(40))
    first, *more = encode(window(14, 7, cells=cells), part_bytes=1000)
    key = key_of(window(14))
    heads = [WindowHead.of(key, part) for part in (first, *more)]
    assert [h and (h.part, h.malformed) for h in heads] == [(1, 7), *((n, 0) for n in range(2, 2 + len(more)))]
    told = flooded(13)
    for one in heads[:0:-1]:
        assert one is not None
        told.causes = told.causes.read_window(one, 70)
    assert told.causes.topics[TOPIC].heard == {0: 60_000}


def test_open_windows_are_not_looked_into() -> None:
    partial = window(1, final=False)
    assert WindowHead.of(key_of(partial), b"{") is None


def test_what_burnt_before_a_restart_burns_on_until_windows_say_that_it_is_over() -> None:
    before = flooded()
    after = Told(Causes().woken(80, before.causes.burning.values())).look(80)
    assert after.said == []
    for number in range(20, 32):
        assert after.read(window(number)).said == []
    assert after.read(window(32)).said == ["Ended"]
    on = Told(Causes().woken(80, before.causes.burning.values()))
    for number in range(20, 40):
        on.read(window(number, 3))
    assert on.said == []


def test_a_look_at_a_service_ends_nothing_of_a_topic() -> None:
    told = flooded()
    story = Story(told.causes).read(entry("start"), 70).read(hold("stale"), 71)
    causes, events = story.causes.look(72, only=["orders", TOPIC])
    assert [e for e in events if not isinstance(e, Again)] == []
    assert f"{TOPIC}/unreadable" in causes.burning
