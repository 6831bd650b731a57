"""What servers sent, in a recording: under other names it still counts the same."""

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import pytest

from cli.recorded_telemetry import messages_about, renamed
from davylamp_sdk._event import EventBatch, RequestEvent
from judge.pseudonyms import Pseudonyms
from streams.decoding import decode
from tests.builders import SERVICE
from tests.rows import made_event
from tests.telemetry import batch, event, read, record, tick
from transport.log import Record

NAMES = Pseudonyms(b"k" * 16)
SECRETS = ("orders", "create_invoice", "9f86d081", "v1", "LookupError", "tokens", "786db6f38e0cd8b7")


def recorded(*records: Record) -> list[Record]:
    return [renamed(r, said, NAMES) for r, said in messages_about(records, "orders")]


def events(records: Sequence[Record]) -> list[RequestEvent]:
    return [e for r in records for e in read(r)[0]]


def test_only_what_can_be_read_and_is_the_services_is_recorded() -> None:
    log = [
        record(0, 1, event(1)),
        record(1, 1, b"{"),
        record(2, 1, event(2, service="stock")),
        tick(3, 1),
        record(4, 1, batch([event(5)])),
    ]
    assert [r.offset for r, _ in messages_about(log, "orders")] == [0, 4]


def test_no_name_of_anybodys_is_left_and_every_number_is() -> None:
    said = [
        event(1, error_type="LookupError", outcome="server_error", metrics={"tokens": 3.5}),
        event(2, error_type="-32603", outcome="rpc_error", tool="_unknown"),
        event(3, session=None, assignment=None, tool="ok"),
    ]
    for value in (said[0], batch(said, dropped=2)):
        (made,) = recorded(record(7, 1000, value, topic="mcp-requests.orders"))
        text = repr(made)
        assert [secret for secret in SECRETS if secret in text] == []
        assert (made.offset, made.timestamp_ms) == (7, 1000)
        for was, now in zip(events([record(7, 1000, value)]), events([made]), strict=True):
            kept = ("sequence", "method", "outcome", "started_at", "duration_ms", "first_of_session", "session_age_ms")
            assert [getattr(was, name) for name in kept] == [getattr(now, name) for name in kept]
            assert list(was.metrics.values()) == list(now.metrics.values())
    assert [e.error_type == "-32603" for e in events(recorded(record(7, 1000, batch(said))))] == [False, True, False]


def test_the_topic_is_the_one_that_the_service_is_said_to_have() -> None:
    for topic in ("mcp-requests", "mcp-requests.orders", "team-7"):
        (made,) = recorded(record(0, 1, event(1), topic=topic))
        assert made.topic == NAMES.service(SERVICE.model_copy(update={"telemetry": topic})).telemetry
        assert isinstance(decode(made), RequestEvent)  # also on its own topic, where others' events are refused
        assert (made.topic == topic) == (topic == "mcp-requests")


KINDS = (
    "producer",
    "service",
    "version",
    "instance",
    "session",
    "tool",
    "error",
    "method",
    "person",
    "host",
    "path",
    "topic",
)
OURS = {
    ("person", "judge"),
    ("person", "router"),
    ("topic", "mcp-requests"),
    ("host", "*"),
    ("host", "_other"),
    ("tool", "_other"),
    ("tool", "_unknown"),
    ("version", "_other"),
    ("version", "-"),
    ("method", "_unknown"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_word_of_ours_is_kept_where_it_is_ours_and_is_somebodys_name_elsewhere(kind: str) -> None:
    words = {word for _, word in OURS}
    assert {word for word in words if NAMES.of(kind, word) == word} == {word for k, word in OURS if k == kind}
    assert NAMES.of(kind, "") == ""


def test_a_service_that_is_called_router_is_not_told_by_it() -> None:
    said = event(1, service="router", version="judge", instance="router", tool="judge", session="router")
    (made,) = (renamed(r, s, NAMES) for r, s in messages_about([record(0, 1, said)], "router"))
    assert not any(word in repr(made) for word in ("router", "judge"))


def test_two_sessions_stay_two_though_half_of_their_new_names_is_the_same() -> None:
    """So it is for some among a hundred thousand."""
    one, other = NAMES.of("session", "11e7"), NAMES.of("session", "26938")
    assert one[:-8] == other[:-8]
    assert one != other


@pytest.mark.parametrize("pack", [lambda one: one, lambda one: batch([one])], ids=["single", "batch"])
@pytest.mark.parametrize(
    ("column", "own", "common"),
    [
        ("method", "acme/payroll.list", ("tools/call", "session/end", "_unknown")),
        ("protocol_version", "acme-internal-3", ("2025-11-25", "2026-07-28")),
        ("error_type", "4711000123", ("-32603", "404", "503")),
        ("error_type", "-4711", ("-32000",)),
    ],
)
def test_what_another_emitter_wrote_is_renamed_in_every_column_and_what_protocols_name_is_not(
    pack: Callable[[RequestEvent], RequestEvent | EventBatch], column: str, own: str, common: tuple[str, ...]
) -> None:
    def said(name: str) -> str:
        (made,) = events(recorded(record(0, 1, pack(event(1, **{column: name})))))
        return str(getattr(made, column))

    assert own not in said(own)
    assert [said(name) for name in common] == list(common)


def test_the_same_name_is_always_replaced_by_the_same_one_whether_single_or_in_a_batch() -> None:
    dice = Random(5)
    rows = [made_event(i, dice) for i in range(60)]
    single = recorded(*(record(i, 1, e) for i, e in enumerate(rows)))
    together = recorded(record(0, 1, batch(rows)))
    assert events(single) == events(together)
    for name in ("session", "tool", "assignment", "error_type"):
        was, now = ([getattr(e, name) for e in some] for some in (rows, events(single)))
        pairs = {(w or None, n or None) for w, n in zip(was, now, strict=True)}
        assert max(Counter(w for w, _ in pairs).values()) == max(Counter(n for _, n in pairs).values()) == 1
