"""A message says what, how bad, since when, and what to type next."""

from typing import get_args

import pytest

from alerts.cause import Again, Began, CauseKind, ConditionKind, Ended, Event, FactKind, Happened
from alerts.wording import LONGEST, lasted, message, proxies_sentence, shortened
from schemas.control import ProxyRoute
from tests.builders import entry
from tests.unit.alerts.fakes import cause

AT_MS = 1_700_000_000_000


def kinds() -> list[CauseKind]:
    return [*get_args(FactKind), *get_args(ConditionKind)]


@pytest.mark.parametrize("kind", kinds())
def test_every_cause_has_a_title_a_sentence_and_a_command_to_type(kind: CauseKind) -> None:
    got = message(Began(cause(kind=kind)), AT_MS, AT_MS)
    assert got.title.startswith("[page] orders: ")
    assert got.body.startswith("It is so.\n\nNext: davylamp ")
    assert " orders" in got.body.splitlines()[2]


@pytest.mark.parametrize(
    ("event", "mark"),
    [
        (Happened(cause()), "[page]"),
        (Began(cause()), "[page]"),
        (Began(cause(severity="notice")), "[notice]"),
        (Again(cause()), "[still page]"),
        (Ended(cause(), 60, "The judge looks again."), "[resolved]"),
    ],
)
def test_the_title_says_how_grave_it_is_or_that_it_is_over(event: Event, mark: str) -> None:
    assert message(event, AT_MS, AT_MS).title == f"{mark} orders: the judge does not look"


def test_a_resolution_says_how_it_ended_how_long_it_lasted_and_what_it_was() -> None:
    got = message(Ended(cause(since_s=40), 100, "The judge looks again."), AT_MS, AT_MS)
    assert got.body.splitlines() == [
        "The judge looks again. It lasted 1m.",
        "It was: It is so.",
        "At: 2023-11-14 22:13:20 UTC",
    ]


@pytest.mark.parametrize("status_url", ["https://davylamp.example", "https://davylamp.example/"])
def test_the_services_own_page_is_linked_if_it_is_known_where(status_url: str) -> None:
    body = message(Began(cause()), AT_MS, AT_MS, status_url).body
    assert body.splitlines()[-1] == "Status: https://davylamp.example/rollouts/orders"
    assert "Status" not in message(Began(cause()), AT_MS, AT_MS).body


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0s"),
        (0.4, "0s"),
        (59, "59s"),
        (60, "1m"),
        (754.3, "12m 34s"),
        (3600, "1h"),
        (7260, "2h 1m"),
        (90061, "1d 1h"),
    ],
)
def test_durations_are_said_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert lasted(seconds) == text


def test_others_words_fit_on_one_bounded_line() -> None:
    assert shortened("no\n such\tcluster ") == "no such cluster"
    assert shortened("x" * LONGEST) == "x" * LONGEST
    assert len(shortened("x" * 10_000)) == LONGEST


def test_of_many_proxies_a_few_are_named() -> None:
    proxies = [ProxyRoute(proxy=f"lb{n}", state="pending") for n in range(8)]
    assert proxies_sentence(entry("start"), proxies, 12) == (
        "8 of 8 proxies (lb0, lb1, lb2, lb3, lb4 and 3 more) have not acknowledged 20% for v2 (start) for 12s."
    )


def test_without_a_proxy_it_says_so() -> None:
    assert (
        proxies_sentence(entry("start"), [], 12)
        == "No proxy is known that has acknowledged 20% for v2 (start) for 12s."
    )
