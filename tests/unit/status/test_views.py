"""The judge's view, corrected by the ledger where that is ahead."""

import pytest

from schemas.control import RolloutView
from schemas.decisions import EntryKind, LedgerEntry
from schemas.ledger import Accepted, ServiceLedger, Void
from status import views
from status.views import Overview, RolloutStatus, newest_view
from tests.builders import SERVICE, entry, opening, route


def read(*kinds: EntryKind, start: LedgerEntry | None = None) -> ServiceLedger:
    ledger = ServiceLedger()
    for now, kind in enumerate(kinds, start=1):
        item = start if kind == "start" and start else entry(kind, ledger.head, now=now)
        ledger, result = ledger.read(item, now)
        assert isinstance(result, Accepted)
    return ledger


def test_before_any_entry_the_judges_view_is_all_there_is() -> None:
    view = RolloutView(service="orders", rollout=0, looked_at=1)
    assert newest_view(None, ServiceLedger(), "orders") is None
    assert newest_view(view, ServiceLedger(), "orders") is view


def test_a_view_of_the_head_is_shown_as_it_is() -> None:
    chain = read("start")
    view = RolloutView(service="orders", rollout=1, state="collecting", head=chain.head_id, looked_at=1)
    assert newest_view(view, chain, "orders") is view


def test_a_view_ahead_of_what_was_read_of_the_ledger_is_shown_as_it_is() -> None:
    view = RolloutView(service="orders", rollout=1, state="completed", head="not-read-yet", looked_at=1)
    assert newest_view(view, read("start"), "orders") is view


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        (("start",), "shifting"),
        (("start", "hold"), "held"),
        (("start", "hold", "resume"), "shifting"),
        (("start", "rollback"), "rolled_back"),
        (("start", "rollback", "drained"), "drained"),
        (("start", "complete"), "completed"),
        (("start", "complete", "retire"), "retired"),
    ],
)
def test_the_ledger_alone_says_where_a_rollout_stands(kinds: tuple[EntryKind, ...], state: str) -> None:
    chain = read(*kinds)
    shown = newest_view(None, chain, "orders")
    assert shown is not None
    assert shown.state == state
    assert shown.share == chain.standing.share
    assert shown.head == chain.head_id
    assert shown.canary == "v2"


def test_a_start_that_waits_for_approval_is_pending_and_an_observing_one_says_so() -> None:
    start = entry("start", opening=opening(observe=True, approve=["start"]))
    shown = newest_view(None, read("start", start=start), "orders")
    assert shown is not None
    assert (shown.state, shown.stages, shown.observe) == ("pending", 2, True)


def test_why_it_is_held_survives_later_entries_and_ends_with_the_hold() -> None:
    held = newest_view(None, read("start", "hold", "freeze"), "orders")
    assert held is not None
    assert (held.held_because, held.frozen) == ("It is a hold.", True)
    resumed = newest_view(None, read("start", "hold", "resume"), "orders")
    assert resumed is not None
    assert resumed.held_because is None


def test_what_the_judge_counted_stays_with_what_the_ledger_says() -> None:
    chain = read("start", "rollback")
    old = chain.entries[0].id
    view = RolloutView(service="orders", rollout=1, state="collecting", head=old, canary_sessions=7, looked_at=5)
    shown = newest_view(view, chain, "orders")
    assert shown is not None
    assert (shown.state, shown.canary_sessions, shown.looked_at, shown.waiting_for) == ("rolled_back", 7, 5, None)


def test_a_status_is_the_same_object_until_anything_of_the_service_is_heard() -> None:
    """What others have made of it, and kept, may be told by that object."""
    start = entry("start")
    view = RolloutView(service="orders", rollout=1, state="shifting", head=start.id, looked_at=1)
    told = [
        ("services", SERVICE),
        ("rollout-decisions", start),
        ("rollouts", view),
        ("rollouts", view.model_copy(update={"looked_at": 2})),
        ("route-changes", route(start.id, acknowledged=False)),
        ("route-changes", route(start.id)),
        ("rollout-decisions", entry("hold", start, now=2)),
    ]
    overview, seen = Overview(), list[RolloutStatus]()
    for offset, (topic, message) in enumerate(told):
        overview.read(topic, message.dump(), offset, offset)
        status = overview.status("orders")
        assert status is not None
        assert overview.status("orders") is status
        assert all(status != before for before in seen), topic
        seen.append(status)
    assert seen[-1].confirmed != ()
    overview.read("rollouts", view.model_copy(update={"service": "billing"}).dump(), 99, 99)
    assert overview.status("orders") is seen[-1]


def test_the_fate_of_an_entry_is_known_for_as_long_as_anybody_waits_for_it_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(views, "FATES", 2)
    overview, start = Overview(), entry("start")
    for offset in range(4):
        overview.read("rollout-decisions", start.dump(), offset, 1)
    assert [(offset, type(fate)) for (_, offset), fate in overview.fates.items()] == [(2, Void), (3, Void)]
    assert overview.ledger.of("orders").head == start
