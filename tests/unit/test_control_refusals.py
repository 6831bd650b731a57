"""Every word that is not carried out is refused in a sentence that says what to do instead, and moves nothing."""

from typing import Any

import pytest

from judge.rollout.commands import COMMAND_EXPIRES_S
from judge.rollout.state import ServiceState
from schemas.decisions import LedgerEntry, Reason
from schemas.service import Era, Service
from status.desk import ANSWER_WITHIN_S
from tests.builders import SERVICE, entry, opening
from tests.unit.judge.test_machine import T0, ask, decide, state

START = entry("start", now=T0)
PENDING = entry("start", now=T0, opening=opening(approve=["start"]))
APPROVING = entry("start", now=T0, opening=opening(approve=["2"]))
HOLD = entry("hold", START, now=T0 + 1, reason=Reason(code="person", sentence="anna held it."))
BACK = entry("rollback", START, now=T0 + 1)
DRAINED = entry("drained", BACK, now=T0 + 2)
COMPLETE = entry("complete", START, now=T0 + 1)
RETIRE = entry("retire", COMPLETE, now=T0 + 2)
FREEZE = entry("freeze", START, now=T0 + 1)
FROZEN = entry("freeze", now=T0, stage=0)
OBSERVING = entry("start", now=T0, opening=opening(observe=True))
WOULD = entry("hold", OBSERVING, now=T0 + 1, reason=Reason(code="would_rollback", sentence="Error rate 30 %."))
RESUMED = entry("resume", WOULD, now=T0 + 2)

AGAIN = "davylamp start PLAN begins a new rollout"
NEXT = "davylamp start PLAN begins the next rollout"

TABLE: list[tuple[list[LedgerEntry], dict[str, Any], str]] = [
    # start
    ([], {"canary": "v9"}, "version v9 is not among the versions of orders (v1, v2, v3): add it with davylamp service apply FILE"),
    ([], {"canary": "v1"}, "version v1 is the baseline already, it serves everybody: name another canary"),
    ([START], {"canary": "v3"}, "a rollout of orders is running: wait for its end, roll it back, or start with --replace"),
    ([START], {"canary": "v2"}, "a rollout of orders is running: wait for its end, roll it back, or start with --replace"),
    ([PENDING], {"canary": "v2"}, "a rollout of orders is running: wait for its end, roll it back, or start with --replace"),
    ([START], {"canary": "v1", "replace": True}, "version v1 is the baseline already, it serves everybody: name another canary"),
    ([START], {"canary": "v2", "replace": True}, "version v2 is the running canary, which --replace rolls back: add --again if it is to start anew"),
    ([START, BACK], {"canary": "v2"}, "version v2 was rolled back before: fix it, or start it with --again"),
    ([START, COMPLETE], {"canary": "v2"}, "version v2 is the baseline already, it serves everybody: name another canary"),
    ([FROZEN], {"canary": "v2"}, "orders is frozen: davylamp unfreeze orders first"),
    (
        [START, BACK, entry("freeze", BACK, now=T0 + 2)],
        {"canary": "v2"},
        "orders is frozen: davylamp unfreeze orders first; version v2 was rolled back before: fix it, or start it with --again",
    ),
    ([START, BACK], {"canary": "v3", "seen": START.id}, "the ledger has moved since you looked: look again with davylamp status, then decide"),
    ([START], {"canary": "v3", "replace": True, "seen": ""}, "the ledger has moved since you looked: look again with davylamp status, then decide"),
    # promote
    ([], {"kind": "promote"}, "promote is not possible: orders is without a rollout: davylamp start PLAN begins a rollout"),
    ([START, BACK], {"kind": "promote"}, f"promote is not possible: orders is rolled back: {AGAIN}"),
    ([START, BACK, DRAINED], {"kind": "promote", "full": True}, f"promote is not possible: orders is drained: {AGAIN}"),
    (
        [START, COMPLETE],
        {"kind": "promote"},
        "promote is not possible: orders is completed: davylamp undo orders takes it back, davylamp start PLAN begins the next rollout",
    ),
    ([START, COMPLETE, RETIRE], {"kind": "promote"}, f"promote is not possible: orders is retired: {NEXT}"),
    (
        [OBSERVING, WOULD],
        {"kind": "promote"},
        "promote is not possible after a breach (Error rate 30 %.): davylamp rollback orders, then start a version that is mended",
    ),
    (
        [OBSERVING, WOULD, RESUMED],
        {"kind": "promote", "full": True},
        "promote is not possible after a breach (Error rate 30 %.): davylamp rollback orders, then start a version that is mended",
    ),
    ([START, HOLD], {"kind": "promote", "seen": START.id}, "the ledger has moved since you looked: look again with davylamp status, then decide"),
    # approve
    ([START], {"kind": "approve", "approves": "2"}, "the plan asks for no approval of 2: it asks for none, the judge goes on by itself"),
    ([APPROVING], {"kind": "approve", "approves": "promote"}, "the plan asks for no approval of promote: it asks for 2"),
    (
        [APPROVING, entry("approve", APPROVING, now=T0 + 1, approves="2")],
        {"kind": "approve", "approves": "2"},
        "2 is approved already: davylamp status orders says what it waits for",
    ),
    ([START, BACK], {"kind": "approve", "approves": "start"}, f"approve is not possible: orders is rolled back: {AGAIN}"),
    # hold, resume, retry
    ([START, HOLD], {"kind": "hold"}, "it is held already: davylamp resume orders lets it go on"),
    (
        [PENDING],
        {"kind": "hold"},
        "hold is not possible: orders is pending: davylamp approve orders start lets it begin, davylamp rollback orders ends it",
    ),
    (
        [START, HOLD, entry("resume", HOLD, now=T0 + 500, actor="ben", command="c-1")],
        {"kind": "hold"},
        "meanwhile ben decided (It is a resume.): look again with davylamp status, then decide",
    ),
    ([START], {"kind": "resume"}, "resume is not possible: orders is running: only what is held is resumed"),
    ([START, BACK], {"kind": "resume"}, f"resume is not possible: orders is rolled back: {AGAIN}"),
    ([START, BACK], {"kind": "retry"}, f"retry is not possible: orders is rolled back: {AGAIN}"),
    ([START, BACK], {"kind": "hold"}, f"hold is not possible: orders is rolled back: {AGAIN}"),
    # freeze
    ([FROZEN], {"kind": "freeze"}, "orders is frozen already: davylamp unfreeze orders lets rollouts start again"),
    ([START], {"kind": "unfreeze"}, "orders is not frozen: davylamp start PLAN begins a rollout"),
    ([START, FREEZE], {"kind": "freeze"}, "orders is frozen already: davylamp unfreeze orders lets rollouts start again"),
]  # fmt: skip


@pytest.mark.parametrize(("entries", "word", "sentence"), TABLE)
def test_a_word_that_cannot_be_carried_out_says_what_to_do(
    entries: list[LedgerEntry], word: dict[str, Any], sentence: str
) -> None:
    made = state(*entries)
    ask(made, **word)
    got = decide(made, after_s=0.6)
    assert got.entry is None
    assert [(o.accepted, o.sentence) for o in got.view.outcomes] == [(False, sentence)]


def speaking(v1: list[Era], v2: list[Era], **changes: Any) -> Service:
    """The service, whose versions speak this."""
    body = SERVICE.model_dump() | changes
    for version, eras in (("v1", v1), ("v2", v2)):
        body["versions"][version]["eras"] = eras
    return Service.model_validate(body)


@pytest.mark.parametrize(
    ("service", "sentence"),
    [
        (
            speaking(["sessions"], ["stateless"]),
            (
                "versions v2 (stateless) and v1 (sessions) share no era of the protocol, so no client could meet either: release a "
                "version that speaks both first, or mend eras with davylamp service apply FILE"
            ),
        ),
        (
            speaking(["sessions", "stateless"], ["stateless"], assign=["session"]),
            (
                "versions v2 and v1 share only the era without sessions, and orders assigns by session alone, so nobody would be "
                "drawn: let assign name principal with davylamp service apply FILE"
            ),
        ),
    ],
)
def test_versions_that_no_client_could_be_drawn_between_are_not_compared(service: Service, sentence: str) -> None:
    made = state()
    made.read_service(service)
    ask(made)
    (outcome,) = decide(made, after_s=0.6).view.outcomes
    assert (outcome.accepted, outcome.sentence) == (False, sentence)


@pytest.mark.parametrize(
    "service",
    [
        speaking(["sessions"], ["sessions", "stateless"]),
        speaking(["sessions", "stateless"], ["sessions"], assign=["session"]),
        speaking(["sessions", "stateless"], ["stateless"]),
        speaking(["stateless"], ["stateless"], assign=["session", "cookie"]),
    ],
)
def test_versions_that_share_an_era_in_which_clients_are_drawn_are_compared(service: Service) -> None:
    made = state()
    made.read_service(service)
    ask(made)
    entry = decide(made, after_s=0.6).entry
    assert entry is not None
    assert entry.kind == "start"


@pytest.mark.parametrize("kind", ["start", "freeze", "unfreeze"])
def test_nobody_starts_or_freezes_what_nobody_has_described(kind: Any) -> None:
    made = ServiceState("orders")
    ask(made, kind)
    (outcome,) = decide(made).view.outcomes
    assert outcome.sentence == "service orders is not known: davylamp service apply FILE first"


def test_a_start_names_everything_that_stands_in_its_way() -> None:
    made = state(START, FREEZE)
    ask(made, canary="v9")
    (outcome,) = decide(made).view.outcomes
    assert outcome.sentence.split("; ") == [
        "version v9 is not among the versions of orders (v1, v2, v3): add it with davylamp service apply FILE",
        "orders is frozen: davylamp unfreeze orders first",
        "a rollout of orders is running: wait for its end, roll it back, or start with --replace",
    ]


@pytest.mark.parametrize(
    ("entries", "word", "what"),
    [
        ([START], {"kind": "promote"}, "the present route"),
        ([START, BACK], {"canary": "v3"}, "the last decision (rollback of rollout 1)"),
    ],
)
def test_a_word_that_waits_for_proxies_names_those_that_are_missing(
    entries: list[LedgerEntry], word: dict[str, Any], what: str
) -> None:
    made = state(*entries, acknowledged=False)
    ask(made, **word)
    assert decide(made).view.outcomes == ()
    (outcome,) = decide(made, after_s=COMMAND_EXPIRES_S + 1).view.outcomes
    if len(entries) > 1:
        assert outcome.sentence == f"not every proxy (lb0 is missing) has acknowledged {what} within 10 s: ask again"
    else:
        assert outcome.sentence == f"no proxy has acknowledged {what} within 10 s: ask again"


def test_a_promotion_in_a_rollout_that_observes_is_a_persons_word_as_long_as_nothing_was_breached() -> None:
    would = entry("hold", OBSERVING, now=T0 + 1, reason=Reason(code="would_proceed", sentence="Within."))
    made = state(OBSERVING, would)
    ask(made, "promote")
    got = decide(made).entry
    assert got is not None
    assert (got.kind, got.stage, got.actor) == ("proceed", 2, "anna")


def test_the_status_api_waits_as_long_as_a_command_lives() -> None:
    """Whoever is told that nothing came of a word is not surprised by it later."""
    assert COMMAND_EXPIRES_S == ANSWER_WITHIN_S
