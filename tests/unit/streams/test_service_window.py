"""Caps: what is beyond is counted together and said so; who comes first in the log is inside, however it is counted."""

import tracemalloc
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from davylamp_sdk._event import EventBatch, RequestEvent
from schemas.windows import MAX_TALLY, Cell, ToolCount
from streams import service_window
from streams.batches import Batch, read_batch
from streams.counts import MAX_LABELS, MAX_METRICS, MAX_TOOLS, MAX_VERSIONS
from streams.joint import read_joint
from streams.parsing import parse_batch
from streams.sequences import flags
from streams.service_window import MAX_INSTANCES, Appended, ServiceWindow
from streams.singles import batch_of
from tests.telemetry import BASELINE, batch, event
from tests.unit.streams.as_models import cells_of

NOW = 1_700_000_004_000


def service_with(*said: RequestEvent | EventBatch) -> ServiceWindow:
    service = ServiceWindow(NOW // 5000, 5000)
    for what in said:
        tell(service, what)
    return service


def tell(service: ServiceWindow, said: RequestEvent | EventBatch, again: int = 0) -> None:
    count(
        service, read_batch(said.dump(), said.model_dump()) if isinstance(said, EventBatch) else batch_of(said), again
    )
    service.pause()


def count(service: ServiceWindow, heard: Batch, again: int = 0) -> None:
    """Bit i of ``again``: whether the i-th came before."""
    moment = np.array([NOW])
    service.count(heard, flags(again, len(heard)) if again else None, Appended(moment, moment, moment))


def published(service: ServiceWindow) -> tuple[Cell, ...]:
    return cells_of(service, final=True)


def label(i: int) -> str:
    return f"7.1.session.{i:016x}"


def test_labels_beyond_the_cap_count_under_none() -> None:
    said = [event(assignment=f"{label(i)};v1") for i in (*range(MAX_LABELS + 3), 5, MAX_LABELS)]
    service = service_with(*said)
    cells = {cell.label: sum(cell.outcomes.values()) for cell in published(service)}
    assert cells == {label(i): 1 for i in range(MAX_LABELS)} | {label(5): 2, "-": 4}
    assert service.folded == 4


def test_a_label_of_two_versions_takes_two_places() -> None:
    said = [event(assignment=f"{label(i % 2)};v{i}") for i in range(MAX_LABELS + 1)]
    assert [cell.version for cell in published(service_with(*said)) if cell.label == "-"] == [f"v{MAX_LABELS}"]


def test_unjudged_versions_beyond_the_cap_are_one() -> None:
    said = [event(assignment=None, version=f"v{i:03}") for i in range(MAX_VERSIONS + 3)]
    service = service_with(*said)
    *cells, other = sorted(published(service), key=lambda cell: cell.version == "_other")
    assert [cell.version for cell in cells] == [f"v{i:03}" for i in range(MAX_VERSIONS)]
    assert (other.version, other.label, other.outcomes, service.folded) == ("_other", "-", {"ok": 3}, 3)


def test_a_hundred_thousand_tools_are_200_and_the_others() -> None:
    one = batch([event(outcome="tool_error")]).model_dump()
    service = service_with()
    for start in range(0, 100_000, 5000):
        names = [*one["names"], *(f"t{start + i}" for i in range(5000))]
        columns = {name: values * 5000 for name, values in one.items() if isinstance(values, tuple) and name != "names"}
        tools = tuple(range(len(one["names"]), len(names)))
        tell(service, EventBatch.model_validate(one | columns | {"names": names, "tool": tools}))
    (cell,) = published(service)
    others = 100_000 - MAX_TOOLS
    assert len(cell.tools) == MAX_TOOLS + 1
    assert (cell.tools["t0"], cell.tools["_other"]) == (ToolCount(n=1, bad=1), ToolCount(n=others, bad=others))
    assert (cell.tool_calls, service.folded) == (100_000, others)


def test_a_tool_of_a_call_that_does_not_count_takes_no_place() -> None:
    ignored = [event(tool=f"t{i}", outcome="cancelled") for i in range(MAX_TOOLS)]
    (cell,) = published(service_with(*ignored, event(tool="real")))
    assert cell.tools == {"real": ToolCount(n=1)}


def test_metrics_beyond_the_cap_are_only_counted_as_folded() -> None:
    service = service_with(*(event(metrics={f"m{i}": 1.0, "m0": 1.0}) for i in range(1, MAX_METRICS + 2)))
    (cell,) = published(service)
    assert list(cell.metrics) == [f"m{i}" for i in range(MAX_METRICS)]
    assert cell.metrics["m0"].n == MAX_METRICS + 1
    assert service.folded == 2


def test_what_instances_dropped_adds_up_by_instance() -> None:
    said = [batch([event(i, instance=f"i{i % (MAX_INSTANCES + 2)}")], dropped=i) for i in range(2 * MAX_INSTANCES)]
    dropped = service_with(*said).dropped
    assert len(dropped) == MAX_INSTANCES + 1
    assert (dropped["i3"], dropped["_other"]) == (3 + 69, 65 + 66)  # i0 came last: at first it had dropped nothing


def test_no_sum_of_what_was_dropped_is_too_large_to_publish() -> None:
    service = service_with()
    service.dropped["orders-1"] = MAX_TALLY - 5
    tell(service, batch([event()], dropped=2**31 - 1))
    assert service.dropped == {"orders-1": MAX_TALLY}


def test_of_a_batch_sent_again_only_what_is_new_counts() -> None:
    service = service_with()
    sent = batch([event(i, duration_ms=float(i), metrics={f"m{i}": 1.0}) for i in range(4)], dropped=7)
    tell(service, sent, again=0b0101)
    (cell,) = published(service)
    assert (cell.outcomes, list(cell.metrics), service.duplicates) == ({"ok": 2}, ["m1", "m3"], 2)
    assert service.dropped == {}


def test_a_batch_of_which_a_later_request_came_before_is_not_one_sent_again() -> None:
    service = service_with()
    tell(service, batch([event(i) for i in range(3)], dropped=7), again=0b100)
    assert (service.dropped, service.duplicates) == ({"orders-1": 7}, 1)


def test_a_batch_that_came_before_is_nothing_but_duplicates() -> None:
    service = service_with()
    tell(service, batch([event(i) for i in range(3)], dropped=7), again=0b111)
    assert (published(service), service.dropped, service.duplicates) == ((), {}, 3)


def peak_of(work: Callable[[], object]) -> int:
    """Bytes that were held at once, beyond those before."""
    tracemalloc.start()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_what_it_takes_to_count_is_bounded_by_the_rows_whatever_clients_name() -> None:
    rows = 1000  # a place for each version with each assignment would be 64 MB
    service = service_with(*(event(i, version=f"v{i}", assignment=f"x{i};y") for i in range(rows)))
    assert peak_of(service.settle) < 2000 * rows
    versions = sorted(cell.version for cell in published(service))
    assert (versions, service.folded) == (["y"], 0)


def test_a_table_of_which_every_second_batch_came_before_is_not_copied_for_each_of_the_others() -> None:
    n = 200
    names = [*batch([event()]).names, *(f"n{i}" for i in range(1000))]
    values = [batch([event(i)]).model_copy(update={"names": (*names,)}).dump() for i in range(n)]
    service = service_with()
    for i, heard in enumerate(read_joint([parse_batch(value) for value in values])):  # type: ignore[misc]
        assert heard is not None
        count(service, heard, i % 2)
    assert peak_of(service.settle) < 40 * n * len(names)
    assert (service.duplicates, sum(published(service)[0].outcomes.values())) == (n // 2, n // 2)


def some_event(i: int, dice: Random) -> RequestEvent:
    """Of more names than there are places."""
    changes: dict[str, Any] = {
        "version": f"v{dice.randrange(90)}",
        "assignment": dice.choice([None, BASELINE, f"{label(dice.randrange(90))};v{dice.randrange(3)}"]),
        "tool": f"t{dice.randrange(300)}",
        "metrics": {f"m{dice.randrange(12)}": dice.choice([1.0, -1.0]) for _ in range(dice.randrange(3))},
        "session": dice.choice([None, "s", "t"]),
    }
    return event(i, **changes)


def messages(events: Sequence[RequestEvent], dice: Random) -> list[RequestEvent | EventBatch]:
    """The same events in order, some singly and some in batches of one version."""
    found: list[RequestEvent | EventBatch] = []
    at = 0
    while at < len(events):
        n = dice.choice([0, 0, 1, 2, 5])
        some = [e for e in events[at : at + n] if e.version == events[at].version]
        whole = list(events[at : at + len(some)]) == some and some
        found.append(batch(some) if whole else events[at])
        at += len(some) if whole else 1
    return found


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 2**32), st.integers(1, 60))
def test_when_what_waits_is_counted_changes_nothing(seed: int, cut: int, waiting: int) -> None:
    dice = Random(seed)
    events = [some_event(i, dice) for i in range(400)]
    singly = service_with(*events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service_window, "_WAITING", waiting)
        mixed = service_with(*messages(events, Random(cut)))
        told = published(mixed)
    assert told == published(singly)
    assert (mixed.folded, mixed.dropped) == (singly.folded, singly.dropped)
