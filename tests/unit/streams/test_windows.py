"""One partition's log → windows, case by case."""

from collections.abc import Collection, Sequence

import pytest

from davylamp_sdk._event import EventBatch, RequestEvent
from schemas.windows import CohortWindow
from streams.checkpoint import Checkpoint, ForeignCheckpointError
from streams.counters import Counters
from streams.counts import MAX_LABELS
from streams.decoding import BadEvent, decode
from streams.window import MAX_UNREGISTERED, Source
from streams.windows import Closed, OutOfOrderError, PartitionFold
from tests.telemetry import BASELINE, CANARY, LABEL, TOPIC, WINDOW_MS, batch, event, record, tick
from tests.unit.streams.as_models import partials
from tests.unit.streams.one_by_one import read
from transport.log import Record

Told = tuple[int, RequestEvent | EventBatch | bytes | None]
"""Append time and what is said then, None for a tick; offsets count up by one."""

OUTCOMES_KNOWN = "Input should be 'ok', 'tool_error', 'rpc_error', 'server_error', 'timeout', 'cancelled', 'input_required', 'rejected' or 'ended'"
NOBODY: frozenset[str] = frozenset()


def said_at(offset: int, at_ms: int, what: RequestEvent | EventBatch | bytes | None) -> Record:
    return tick(offset, at_ms) if what is None else record(offset, at_ms, what)


class Log:
    """A fold that is told one message after another."""

    def __init__(self, start: Checkpoint | None = None, registered: Collection[str] = NOBODY, holes: int = 0) -> None:
        self.counters = Counters()
        start = start or Checkpoint.earliest(0)
        source = Source(TOPIC, partition=2, partitions=4, window_ms=WINDOW_MS, instance="w1")
        self.fold = PartitionFold(source, start, self.counters, lambda: registered, holes)
        self.refused: list[BadEvent | None] = []
        self.next = start.warm_offset

    def tell(self, *said: Told) -> list[Closed]:
        closed = []
        for at_ms, what in said:
            closed.append(self.fold.enter(self.next, at_ms))
            self.refused.append(read(self.fold, decode(said_at(self.next, at_ms, what)), self.next, at_ms))
            self.next += 1
        return [c for c in closed if c is not None]

    def final(self, *said: Told, registered: frozenset[str] = NOBODY) -> list[CohortWindow]:
        return [window for closed in self.tell(*said) for window in closed.finals(registered)]


def counted(windows: Sequence[CohortWindow]) -> dict[int, int]:
    """Window start → requests."""
    return {w.window_start: sum(sum(c.outcomes.values()) for c in w.cells) for w in windows}


def test_a_window_closes_when_the_log_says_so() -> None:
    log = Log()
    assert log.tell((1000, event(1)), (1099, event(2))) == []
    (closed,) = log.tell((1100, event(3)))
    (window,) = closed.finals(NOBODY)
    assert (window.window_start, window.window_end, window.final) == (1000, 1100, True)
    assert (window.first_offset, window.through) == (0, 2)
    assert counted([window]) == {1000: 2}


def test_a_window_message_says_whose_log_it_tells_of() -> None:
    (window,) = Log().final((1000, event(1)), (1100, None))
    assert (window.service, window.source, window.partition, window.partitions) == ("orders", TOPIC, 2, 4)
    assert (window.window_ms, window.instance) == (WINDOW_MS, "w1")


def test_a_tick_or_a_bad_event_closes_a_window_as_well() -> None:
    assert counted(Log().final((1000, event(1)), (1100, None))) == {1000: 1}


def test_a_broker_clock_that_steps_back_does_not_open_an_old_window() -> None:
    log = Log()
    finals = log.final((1000, event(1)), (1100, event(2)), (1050, event(3)), (900, event(4)), (1200, None))
    assert counted(finals) == {1000: 1, 1100: 3}


def test_cells_are_by_service_assigned_version_and_label() -> None:
    finals = Log().final(
        (1000, event(1, assignment=BASELINE)),
        (1000, event(2, assignment=CANARY, version="v2")),
        (1000, event(3, assignment=CANARY, version="v2")),
        (1000, event(4, service="stock")),
        (1100, None),
    )
    assert [w.service for w in finals] == ["orders", "stock"]
    cells = {(c.version, c.label): sum(c.outcomes.values()) for c in finals[0].cells}
    assert cells == {("v1", LABEL): 1, ("v2", CANARY.partition(";")[0]): 2}


def test_the_cohort_is_what_the_proxy_assigned_and_a_server_that_says_otherwise_is_a_mismatch() -> None:
    (window,) = Log().final((1000, event(1, assignment=CANARY, version="v1")), (1100, None))
    (cell,) = window.cells
    assert (cell.version, cell.mismatches) == ("v2", 1)


def test_an_unassigned_event_is_of_the_version_that_served_it_and_has_no_bucket() -> None:
    (window,) = Log().final((1000, event(1, assignment=None, version="v9")), (1100, None))
    (cell,) = window.cells
    assert (cell.version, cell.label, cell.mismatches, cell.buckets) == ("v9", "-", 0, {})


def test_a_label_that_is_none_leaves_the_assigned_version() -> None:
    (window,) = Log().final((1000, event(1, assignment="junk;v2")), (1100, None))
    (cell,) = window.cells
    assert (cell.version, cell.label, cell.mismatches, cell.buckets) == ("v2", "-", 1, {})


def test_an_event_without_a_session_is_shown_and_never_judged() -> None:
    (window,) = Log().final((1000, event(1, session=None)), (1100, None))
    assert [(c.version, c.label, c.buckets) for c in window.cells] == [("v1", "-", {})]


def test_labels_beyond_64_a_service_fold_into_the_unjudged_and_are_counted() -> None:
    log = Log()
    labels = [f"7.1.session.{i:016x};v1" for i in range(MAX_LABELS + 3)]
    said: list[Told] = [(1000, event(i, assignment=a)) for i, a in enumerate(labels)]
    known: Told = (1000, event(900, assignment=labels[5]))
    other: Told = (1000, event(901, service="stock", assignment=labels[-1]))
    orders, stock = log.final(*said, known, other, (1100, None))
    assert sum(c.label != "-" for c in orders.cells) == MAX_LABELS
    assert [sum(c.outcomes.values()) for c in orders.cells if c.label == "-"] == [3]
    assert [c.label for c in stock.cells] == [labels[-1].partition(";")[0]]
    assert log.counters == Counters(folded=3)


def test_every_window_has_room_for_64_labels_of_its_own() -> None:
    log = Log()
    for start in (1000, 1100):
        log.tell(*((start, event(start + i, assignment=f"7.1.session.{start + i:016x};v1")) for i in range(MAX_LABELS)))
    assert log.counters.folded == 0


def test_an_event_sent_again_in_its_window_or_the_next_is_dropped_and_counted() -> None:
    log = Log()
    finals = log.final((1000, event(1)), (1050, event(1)), (1100, event(1)), (1199, event(2)), (1200, None))
    assert counted(finals) == {1000: 1, 1100: 1}
    assert log.counters == Counters(duplicates=2)


def test_an_event_sent_again_two_windows_later_is_a_new_event() -> None:
    finals = Log().final((1000, event(1)), (1100, event(2)), (1200, event(1)), (1300, None))
    assert counted(finals) == {1000: 1, 1100: 1, 1200: 1}


def test_after_a_skipped_window_nothing_is_a_duplicate() -> None:
    assert counted(Log().final((1000, event(1)), (1200, event(1)), (1300, None)))[1200] == 1


def test_a_batch_is_as_its_events_would_be() -> None:
    events = [event(i, outcome="tool_error" if i % 3 else "ok", session=f"s{i}") for i in range(20)]
    in_batches: list[Told] = [(1000, batch(events[:13])), (1000, batch(events[13:])), (1100, None)]
    singly: list[Told] = [*((1000, e) for e in events), (1100, None)]
    (whole,), (single,) = Log().final(*in_batches), Log().final(*singly)
    assert whole.cells == single.cells


def test_requests_of_a_batch_are_duplicates_one_by_one() -> None:
    log = Log()
    two_to_five, four_to_seven = batch([event(i) for i in range(2, 6)]), batch([event(i) for i in range(4, 8)])
    first, second = log.final(
        (1000, event(3)), (1000, two_to_five), (1100, four_to_seven), (1100, event(7)), (1200, None)
    )
    assert counted([first, second]) == {1000: 4, 1100: 2}
    assert (first.duplicates, second.duplicates) == (1, 3)
    assert log.counters.duplicates == 4


def test_a_window_of_duplicates_alone_says_so() -> None:
    log = Log()
    _, window = log.final((1000, event(1)), (1100, event(1)), (1200, None))
    assert (window.window_start, window.cells, window.duplicates) == (1100, (), 1)


def test_what_a_producer_dropped_is_said_once_even_if_its_batch_is_sent_again() -> None:
    sent = batch([event(1), event(2)], dropped=5)
    first, second = Log().final((1000, sent), (1000, sent), (1100, sent), (1200, None))
    assert (first.dropped, second.dropped) == ({"orders-1": 5}, {})


def test_a_batch_with_one_bad_request_is_refused_whole_and_counted_as_one_message() -> None:
    log = Log()
    bad = batch([event(i) for i in range(5)]).dump().replace(b'"ok"', b'"no"')
    (window,) = log.final((1000, bad), (1000, event(1)), (1100, None))
    assert [str(r) for r in log.refused if r] == ["invalid: request 0 of 5: outcome: " + OUTCOMES_KNOWN]
    assert (window.malformed, counted([window])) == (1, {1000: 1})
    assert log.counters == Counters(malformed=1)


def test_every_service_is_told_of_the_bad_messages_of_its_partition() -> None:
    said: list[Told] = [(1000, event(1)), (1000, event(2, service="stock")), (1000, b"{"), (1000, b"}"), (1100, None)]
    finals = Log().final(*said, registered=frozenset({"idle"}))
    assert [(w.service, w.malformed) for w in finals] == [("idle", 2), ("orders", 2), ("stock", 2)]


def test_bad_messages_are_told_even_if_the_log_then_skips_windows() -> None:
    finals = Log().final((1000, b"{"), (1550, None), registered=frozenset({"idle"}))
    assert [(w.window_start, w.malformed) for w in finals] == [(1000, 1), (1400, 0)]


def test_a_hole_is_told_by_the_window_that_begins_after_it() -> None:
    log = Log(Checkpoint(5, 1000, 5), holes=12)
    finals = log.final((1000, event(1)), (1100, event(2)), (1200, None), registered=frozenset({"idle"}))
    assert [(w.service, w.window_start, w.holes) for w in finals] == [
        ("idle", 1000, 12),
        ("orders", 1000, 12),
        ("idle", 1100, 0),
        ("orders", 1100, 0),
    ]
    assert [w.holes for w in Log(holes=3).final((1000, event(1)), (1100, None))] == [3]


def test_a_partial_tells_of_a_hole_as_well() -> None:
    log = Log(holes=12)
    log.tell((1000, event(1)))
    assert [w.holes for w in partials(log.fold)] == [12]


@pytest.mark.parametrize("bad", [30, 150, 250])
def test_how_much_of_a_flood_is_kept_depends_on_the_log_alone_wherever_a_successor_begins(bad: int) -> None:
    said: list[Told] = [(1000 + WINDOW_MS * w, b"{") for w in (0, 1, 2, 5, 6) for _ in range(bad)]
    live = Log(registered={"orders"})
    closed = live.tell(*said, (2000, None))
    whole = [w for c in closed for w in c.finals({"orders"})]
    assert any(w.unkept for w in whole) == (bad > 30)
    for i, before in enumerate(closed[:-1], start=1):
        committed = Checkpoint.parse(before.checkpoint.offset, before.checkpoint.metadata(WINDOW_MS), WINDOW_MS)
        successor = Log(committed, registered={"orders"})
        again = successor.tell(*said[committed.warm_offset :], (2000, None))
        assert [w for c in again for w in c.finals({"orders"})] == [w for c in closed[i:] for w in c.finals({"orders"})]
        refused = [r for r in successor.refused if r]
        assert len(refused) == sum(c.window.malformed - c.window.unkept for c in again)


def test_services_that_nobody_registered_are_200_in_a_window() -> None:
    log = Log(registered={"orders", "stock"})
    strangers = [event(i, service=f"s{i}") for i in range(MAX_UNREGISTERED + 2)]
    said: list[Told] = [
        *((1000, e) for e in strangers),
        (1000, event(900)),
        (1000, strangers[0]),
        (1000, strangers[-1]),
    ]
    finals = log.final(*said, (1100, strangers[-1]), (1200, None))
    assert [r.reason for r in log.refused if r] == ["unknown_service"] * 3
    assert len({w.service for w in finals}) == MAX_UNREGISTERED + 2
    assert {w.malformed for w in finals if w.window_start == 1000} == {3}
    assert log.counters.duplicates == 2  # the one that was counted, and the one that was refused, in the window after


def test_what_is_refused_while_warming_up_was_refused_before() -> None:
    log = Log(Checkpoint(offset=2, clock_ms=1090, warm_offset=0))
    log.tell((1000, b"{"), (1090, event(1)), (1100, b"{"))
    assert [r is None for r in log.refused] == [True, True, False]
    assert log.counters == Counters(malformed=1)


def test_partials_bear_nothing_that_is_costly() -> None:
    log = Log()
    said = (1000, batch([event(i, metrics={"tokens": 1.0}, session_age_ms=10.0) for i in range(50)]))
    log.tell(said)
    (partial,) = partials(log.fold)
    (cell,) = partial.cells
    assert (cell.digest, cell.bucket_histograms, cell.metrics["tokens"].bucket_histograms) == (None, {}, {})
    assert cell.lives
    assert cell.metrics["tokens"].buckets
    (final,) = log.final((1100, None))
    (cell,) = final.cells
    assert cell.digest is not None
    assert cell.bucket_histograms
    assert cell.metrics["tokens"].bucket_histograms


def test_a_dropped_duplicate_makes_its_own_repetition_one() -> None:
    log = Log()
    log.tell((1000, event(1)), (1100, event(1)), (1200, event(1)), (1300, None))
    assert log.counters.duplicates == 2


def test_the_same_sequence_of_another_producer_is_another_event() -> None:
    log = Log()
    log.tell((1000, event(1)), (1000, event(1, producer="orders-2/1")))
    assert log.counters.duplicates == 0


def test_registered_services_get_an_empty_final_where_they_were_silent() -> None:
    finals = Log().final((1000, event(1)), (1100, None), registered=frozenset({"orders", "stock"}))
    assert [(w.service, w.window_start, len(w.cells)) for w in finals] == [("orders", 1000, 1), ("stock", 1000, 0)]


def test_of_skipped_windows_the_newest_is_published_for_everybody() -> None:
    finals = Log().final((1000, event(1)), (1550, None), registered=frozenset({"stock"}))
    assert [(w.service, w.window_start, len(w.cells)) for w in finals] == [
        ("orders", 1000, 1),
        ("orders", 1400, 0),
        ("stock", 1400, 0),
    ]
    assert [(w.first_offset, w.through) for w in finals] == [(0, 1), (1, 1), (1, 1)]


def test_before_the_first_message_no_window_has_closed() -> None:
    assert Log().final((1000, None), registered=frozenset({"orders"})) == []


def test_partials_are_of_services_that_changed() -> None:
    log = Log()
    log.tell((1000, event(1)), (1000, event(2, service="stock")))
    assert [w.service for w in partials(log.fold)] == ["orders", "stock"]
    assert partials(log.fold) == ()
    log.tell((1001, event(3)), (1002, event(3)), (1003, None))
    (partial,) = partials(log.fold)
    assert (partial.service, partial.final, partial.first_offset, partial.through) == ("orders", False, 0, 5)
    assert counted([partial]) == {1000: 2}
    assert partial.cells[0].digest is None


def test_a_duplicate_alone_changes_nothing() -> None:
    log = Log()
    log.tell((1000, event(1)))
    partials(log.fold)
    log.tell((1000, event(1)))
    assert partials(log.fold) == ()


def test_partials_are_of_the_window_that_is_open() -> None:
    log = Log()
    log.tell((1000, event(1)), (1100, event(2, service="stock")))
    assert [(w.service, w.window_start) for w in partials(log.fold)] == [("stock", 1100)]


def test_before_anything_was_read_there_are_no_partials() -> None:
    assert partials(Log().fold) == ()


def test_a_checkpoint_is_the_first_message_of_the_next_window_and_warms_up_one_window_before() -> None:
    first, second = Log().tell((1000, event(1)), (1090, event(2)), (1100, event(3)), (1250, None))
    assert first.checkpoint == Checkpoint(offset=2, clock_ms=1090, warm_offset=0)
    assert second.checkpoint == Checkpoint(offset=3, clock_ms=1100, warm_offset=2)


def test_after_a_skipped_window_there_is_nothing_to_warm_up_with() -> None:
    (closed,) = Log().tell((1000, event(1)), (1200, event(2)))
    assert closed.checkpoint == Checkpoint(1, 1199, 1)


def test_a_successor_publishes_nothing_of_the_window_it_warms_up_with() -> None:
    log = Log(Checkpoint(offset=2, clock_ms=1090, warm_offset=0))
    assert [log.fold.muted(offset) for offset in (0, 1, 2)] == [True, True, False]
    assert log.tell((1000, event(1)), (1090, event(1))) == []
    assert partials(log.fold) == ()
    assert log.tell((1100, event(3))) == []
    assert counted(partials(log.fold)) == {1100: 1}
    assert log.counters == Counters()


def test_a_successor_drops_what_its_predecessor_would_have_dropped() -> None:
    said: list[Told] = [(1000, event(1)), (1090, event(2)), (1100, event(2)), (1150, event(3)), (1200, event(1))]
    live = Log()
    first, second = live.tell(*said)
    successor = Log(first.checkpoint)
    (again,) = successor.tell(*said[first.checkpoint.warm_offset :])
    assert again.finals(NOBODY) == second.finals(NOBODY)
    assert counted(again.finals(NOBODY)) == {1100: 1}
    assert again.checkpoint == second.checkpoint
    assert successor.counters == live.counters == Counters(duplicates=1)


def test_a_topic_that_was_made_anew_and_has_grown_past_the_commit_is_told_by_its_age() -> None:
    """The broker forgets a group's offsets with the topic, but a worker that had not noticed may commit once more."""
    log = Log(Checkpoint(offset=2, clock_ms=1090, warm_offset=0))
    with pytest.raises(
        ForeignCheckpointError, match=r"mcp-requests-2: message 0 is younger than the commit at offset 2"
    ):
        log.tell((5000, event(1)))


def test_after_a_hole_a_window_that_was_final_does_not_open_again() -> None:
    start = Checkpoint(offset=2, clock_ms=1090, warm_offset=0).retained(low=5, window_ms=WINDOW_MS)
    log = Log(start)
    log.tell((1095, event(1)))  # the broker's clock had stepped back behind the message that is lost
    assert [w.window_start for w in partials(log.fold)] == [1100]


def test_a_message_that_comes_again_is_an_error() -> None:
    log = Log()
    log.tell((1000, event(1)), (1000, event(2)))
    with pytest.raises(OutOfOrderError, match=r"mcp-requests-2: 1 after 1"):
        log.fold.enter(1, 1000)


def test_offsets_may_have_gaps() -> None:
    log = Log()
    log.fold.enter(5, 1000)
    closed = log.fold.enter(90, 1100)
    assert closed is not None
    assert closed.checkpoint == Checkpoint(90, 1000, 5)


def test_skipped_windows_stay_closed_though_retention_takes_the_message_that_closed_them() -> None:
    """Found by the model: the clock jumped by an hour, the worker died, retention went on, and the clock was back."""
    source = Source(TOPIC, 0, 1, WINDOW_MS, "w")
    fold = PartitionFold(source, Checkpoint.earliest(0), Counters())
    fold.enter(0, 10 * WINDOW_MS)
    closed = fold.enter(1, 50 * WINDOW_MS)
    assert closed is not None
    successor = PartitionFold(source, closed.checkpoint.retained(2, WINDOW_MS), Counters(), holes=1)
    successor.enter(2, 20 * WINDOW_MS)
    later = successor.enter(3, 60 * WINDOW_MS)
    assert later is not None
    assert (later.window.index, later.window.holes) == (closed.newest + 1, 1)
