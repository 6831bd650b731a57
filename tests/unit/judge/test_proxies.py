"""Cumulative reports become differences: nothing lost, nothing doubled, whoever tells them."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.impossible import ImpossibleReportError
from judge.proxies import EVERY_MS, KEPT_MS, KNOWN_AFTER_MS, ProxyBook, Sent
from schemas.control import ProxyReport, VersionTotals

V1 = VersionTotals(sent=100, failed=1, active=2)


def report(proxy: str = "lb0", started: int = 1, router: str = "r0", epoch: int = 1, **fields: Any) -> ProxyReport:
    known: dict[str, Any] = {"versions": {"v1": V1}, "at": 0}
    return ProxyReport(service="orders", router=router, epoch=epoch, proxy=proxy, started=started, **known | fields)


def totals(sent: int, failed: int = 0, active: int = 0) -> dict[str, VersionTotals]:
    return {"v1": VersionTotals(sent=sent, failed=failed, active=active)}


def book(*told: tuple[float, ProxyReport]) -> ProxyBook:
    made = ProxyBook()
    for at_s, each in told:
        made.read(each, round(1000 * at_s))
    return made


def sent(made: ProxyBook, version: str = "v1") -> list[Sent]:
    return [d.versions[version] for d in made.after(0, -1)[1]]


def test_the_first_report_of_a_life_only_says_from_where_to_count() -> None:
    made = book((0, report()), (5, report(versions=totals(160, 4, 7))))
    assert sent(made) == [Sent(60, 3, 60 - 3 - 5)]


def test_a_version_that_was_not_told_before_counts_from_zero() -> None:
    both = {"v1": V1, "v2": VersionTotals(sent=10, failed=10, active=0)}
    assert sent(book((0, report()), (5, report(versions=both))), "v2") == [Sent(10, 10, 0)]


def test_a_lost_report_costs_nothing() -> None:
    all_three = [(0, report()), (5, report(versions=totals(160, 4))), (10, report(versions=totals(200, 9)))]
    whole, holed = book(*all_three), book(all_three[0], all_three[2])
    assert sum(s.sent for s in sent(whole)) == sum(s.sent for s in sent(holed)) == 100
    assert sum(s.failed for s in sent(whole)) == sum(s.failed for s in sent(holed)) == 8


def test_differences_lie_five_seconds_apart_at_least() -> None:
    made = book(*((i, report(versions=totals(100 + 10 * i))) for i in range(11)))
    assert [(d.start_ms, d.end_ms) for d in made.after(0, -1)[1]] == [(0, EVERY_MS), (EVERY_MS, 2 * EVERY_MS)]
    assert [s.sent for s in sent(made)] == [50, 50]


def test_a_proxy_that_began_anew_counts_anew() -> None:
    made = book((0, report()), (5, report(started=2, versions=totals(4))), (10, report(started=2, versions=totals(9))))
    assert sent(made) == [Sent(5, 0, 5)]


def unanswered(n: int) -> dict[str, int]:
    """Beside what is no more than a hint."""
    return {"v1 unanswered": n, "v1 hung": 50, "v1 abandoned": 9}


def test_a_request_that_nobody_answers_fails_once_beside_what_was_sent() -> None:
    made = book(
        (0, report(versions=totals(100), failures={})),
        (6, report(versions=totals(160, 2, 60), failures={"v1 hung": 60})),
        (12, report(versions=totals(220, 2, 120), failures=unanswered(60))),
        (18, report(versions=totals(220, 2, 120), failures=unanswered(120))),
        (24, report(versions=totals(220, 2, 120), failures=unanswered(120))),
    )
    assert sent(made) == [Sent(60, 2, 0), Sent(120, 60, 0), Sent(60, 60, 0), Sent(0, 0, 0)]


def test_what_is_unanswered_between_two_differences_or_told_by_another_router_is_in_the_next_one() -> None:
    made = book(
        (0, report(failures=unanswered(7))),
        (1, report(failures=unanswered(8))),
        (2, report(router="r1", failures={})),
        (3, report(router="r1", failures=unanswered(3))),
        (4, report(epoch=2, failures=unanswered(5))),
        (6, report(epoch=2, versions=totals(200, 1, 2), failures=unanswered(6))),
    )
    assert sent(made) == [Sent(100 + 5, 5, 100)]


def test_unanswered_requests_of_a_newer_rollout_are_counted_from_nothing() -> None:
    made = book((0, report(failures=unanswered(90))), (6, report(versions=totals(200, 1, 2), failures=unanswered(4))))
    assert sent(made) == [Sent(104, 4, 100)]


def test_two_routers_that_tell_of_one_proxy_double_nothing() -> None:
    made = book(
        (0, report()),
        (5, report(versions=totals(160, 1))),
        (11, report(router="r1", versions=totals(150, 1))),
        (12, report(router="r1", versions=totals(180, 1))),
    )
    assert [s.sent for s in sent(made)] == [60, 20]


@pytest.mark.parametrize(
    ("fallen", "words"),
    [
        (totals(90, 1), "report of lb0 by r0 at 0: versions.v1: completed fell from 98 to 90"),
        (totals(160, 0), "versions.v1: failed fell from 1 to 0"),
        (totals(160, 1, 200), "versions.v1: 200 under way of 160 sent"),
    ],
)
def test_counts_that_go_backwards_are_refused_with_their_place_and_never_counted(
    fallen: dict[str, VersionTotals], words: str
) -> None:
    made = book((0, report()))
    with pytest.raises(ImpossibleReportError, match=words):
        made.read(report(versions=fallen, born={"v1 label": 5}), 6_000)
    assert (sent(made), made.born("v1", "label")) == ([], 0)
    made.read(report(versions=totals(170, 1)), 12_000)
    assert sent(made) == []
    made.read(report(versions=totals(180, 2)), 18_000)
    assert sent(made) == [Sent(10, 1, 9)]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"versions": totals(10**25)}, "versions.v1: 1[0]{25} is no count"),
        ({"versions": totals(200, 2**53 + 1)}, "versions.v1: 9007199254740993 is no count"),
        ({"failures": unanswered(-3)}, "failures.v1 unanswered: -3 is no count"),
        ({"born": {"v1 label": 10**400}}, "born.v1 label: "),
    ],
)
def test_what_is_no_count_is_refused_with_its_place(told: dict[str, Any], words: str) -> None:
    with pytest.raises(ImpossibleReportError, match=words):
        book((0, report()), (6, report(**told)))


def test_requests_that_clients_gave_up_are_no_counts_that_go_backwards() -> None:
    made = book((0, report(versions=totals(100, 1, 60))), (6, report(versions=totals(50, 1, 0))))
    assert sent(made) == []
    made.read(report(versions=totals(120, 1)), 12_000)
    assert sent(made) == [Sent(20, 0, 20 + 60)]


def test_a_router_that_began_anew_and_a_version_that_came_back_may_tell_less() -> None:
    other = {"v2": VersionTotals(sent=9, failed=9, active=0)}
    told = [(0, report(versions={"v1": V1} | other)), (6, report(versions={"v1": V1}))]
    back = {"v1": V1, "v2": VersionTotals(sent=1, failed=0, active=0)}
    assert sent(book(*told, (12, report(versions=back))), "v1") == [Sent(0, 0, 0)] * 2
    assert sent(book((0, report()), (6, report(epoch=2, versions=totals(50))))) == []


def test_sessions_are_those_of_every_router_s_life() -> None:
    made = book(
        (0, report(born={"v1 label": 5})),
        (1, report(born={"v1 label": 9})),
        (2, report(born={"v1 label": 7})),
        (3, report(epoch=2, born={"v1 label": 4, "v2 label": 1})),
        (4, report(proxy="lb1", born={"v1 label": 2})),
    )
    assert made.born("v1", "label") == 9 + 4 + 2
    assert made.born("v2", "label") == 1
    assert made.born("v2", "other") == 0


def test_answers_since_a_moment_leave_out_failures_and_what_hangs() -> None:
    made = book(
        (0, report(versions=totals(0))),
        (10, report(versions=totals(100, 10, 20))),
        (20, report(versions=totals(130, 10, 50))),
        (30, report(versions=totals(150, 12, 0))),
    )
    assert made.answered("v1", 0) == 70 + 0 + 68
    assert made.answered("v1", 15_000) == 68
    assert made.answered("v2", 0) == 0


@pytest.mark.parametrize("since_ms", range(0, EVERY_MS + 1000, 250))
def test_soon_after_any_moment_answers_since_then_are_known(since_ms: int) -> None:
    """Reports come each second; two of those before the end are not read yet."""
    until_s = (since_ms + KNOWN_AFTER_MS) // 1000 - 2
    made = book(*((second, report(versions=totals(10 * second))) for second in range(until_s + 1)))
    assert made.answered("v1", since_ms) >= 50


def test_a_proxy_that_was_told_of_late_hides_no_answers_that_another_one_saw() -> None:
    made = book(
        (0, report("lb1", versions=totals(100))),
        (10, report("lb0", versions=totals(100))),
        (15, report("lb0", versions=totals(130))),
        (16, report("lb1", versions=totals(900))),  # some of it before
    )
    assert made.answered("v1", 8_000) == 30


def test_old_differences_are_let_go_and_places_stay() -> None:
    made = ProxyBook()
    for number in range(9000):
        made.read(report(versions=totals(number)), number * (KEPT_MS // 1000))
    place, _ = made.after(0, -1)
    assert place == 8999
    assert len(made._differences) < 6000
    assert made.after(8998, -1)[1] == made._differences[-1:]
    assert made.after(place, -1) == (place, [])


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30), st.integers(0, 5)), max_size=25), st.integers(0, 9))
def test_differences_add_up_to_what_was_counted(steps: list[tuple[int, int, int]], seed: int) -> None:
    """Two proxies, two routers, any pace: up to the newest report of which a difference was taken."""
    chance, made, now = random.Random(seed), ProxyBook(), 0
    counted = {"lb0": [0, 0], "lb1": [0, 0]}
    taken: dict[str, list[tuple[int, int, int]]] = {"lb0": [], "lb1": []}
    for gap, more, bad in steps:
        now += 1000 * gap
        proxy = chance.choice(["lb0", "lb1"])
        counted[proxy] = [counted[proxy][0] + more + bad, counted[proxy][1] + bad]
        made.read(report(proxy, router=chance.choice(["r0", "r1"]), versions=totals(*counted[proxy])), now)
        taken[proxy].append((now, counted[proxy][0], counted[proxy][1]))
    expected = [0, 0]
    for rows in taken.values():
        base = None
        for at, total, bad in rows:
            if base is None or at - base[0] >= EVERY_MS:
                if base is not None:
                    expected = [expected[0] + total - base[1], expected[1] + bad - base[2]]
                base = at, total, bad
    assert [sum(s.sent for s in sent(made)), sum(s.failed for s in sent(made))] == expected


def test_what_was_sent_before_may_fail_in_a_later_difference_which_is_no_mistake() -> None:
    """A canary that dies takes along what was under way: more failures than were sent meanwhile, and none is invented."""
    made = book((0, report(versions=totals(100, 0, 50))), (5, report(versions=totals(100, 50, 0))))
    assert sent(made) == [Sent(0, 0, 0)]
    made = book((0, report(versions=totals(100, 0, 50))), (5, report(versions=totals(120, 60, 10))))
    assert sent(made) == [Sent(20, 20, 0)]


def test_lives_of_proxies_and_routers_that_ended_long_ago_are_let_go() -> None:
    born = {"v1 1.1.session.0123456789abcdef": 3}
    made = book((0, report("old", born=born)), (1, report("old", router="r9", born=born)))
    assert made.born("v1", "1.1.session.0123456789abcdef") == 6
    step_s = KEPT_MS / 1000 / 1000
    for number in range(1, 4098):
        made.read(report(versions=totals(100 + number)), round(number * step_s * 1000))
    assert made.born("v1", "1.1.session.0123456789abcdef") == 0
    lives = (made._heard_ms, made._born, made._unanswered, made._last, made._waiting)
    assert [len(kept) for kept in lives[:4]] == [1, 1, 1, 1]
    assert len(made._waiting) <= 1
    made.read(report("old", versions=totals(50)), made._now_ms)
    assert made.counts_from(report("old")) is False
