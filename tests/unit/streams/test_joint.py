"""Batches read together are read as each alone: accepted, refused and for the same reason."""

import json
import os
from collections.abc import Sequence
from operator import itemgetter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import decoding
from streams.batches import Batch
from streams.decoding import BadEvent, Tick, decode, decode_all
from streams.joint import read_joint
from streams.parsing import Packed, parse_batch, parse_newer
from streams.singles import Loose, batch_of
from tests.mutations import mutated
from tests.rows import made_event, rows
from tests.telemetry import TOPIC, batch, event, record, tick

EXAMPLES = int(os.environ.get("DAVYLAMP_FUZZ", "2000")) // 20
TWO = batch([event(7, metrics={"tokens": 1.5}), event(8, session="s8", metrics={"tokens": 2.0})])

Seen = list[tuple[int, Any]]
"""Message, and what it says: a request, a reason or a tick."""


def together(values: Sequence[bytes | None]) -> Seen:
    records = [tick(i, 1) if value is None else record(i, 1, value) for i, value in enumerate(values)]
    seen: Seen = []
    for some in decode_all(values, TOPIC, records.__getitem__):
        for i, said in zip(some.messages.tolist(), singles_of(some.said), strict=True):
            seen += ((i, request) for request in requests(said))
    return sorted(seen, key=itemgetter(0))


def singles_of(said: Any) -> list[Any]:
    """Single events as batches of one; what is none is left as it is."""
    if not isinstance(said, Loose):
        return [said]
    who = {row: (producer, first + i) for producer, first, at in said.runs for i, row in enumerate(at.tolist())}
    return [Batch(*who[i], said.service, "", 0, said.table, i, i + 1, fails=False) for i in range(len(said))]


def singly(values: Sequence[bytes | None]) -> Seen:
    seen: Seen = []
    for i, value in enumerate(values):
        said = decode(tick(i, 1) if value is None else record(i, 1, value))
        seen += ((i, request) for request in requests(said))
    return seen


def requests(said: Any) -> list[Any]:
    if isinstance(said, BadEvent | Tick):
        return [said]
    found: Batch = said if isinstance(said, Batch) else batch_of(said)
    who = found.producer, found.service, found.dropped
    fails = found.fails if len(found) > 1 else None  # of a stretch of single ones it is said together
    return [
        (*who, found.sequence + i, row, fails if found.dropped else None) for i, row in enumerate(rows(found.columns))
    ]


def made(dice: Random) -> bytes:
    first, service = dice.choice([0, 7, 2**53 - 2]), dice.choice(["orders", "orders", "stock", "Bad Name"])
    events = [made_event(first + i, dice).model_copy(update={"service": service}) for i in range(dice.randint(1, 4))]
    return events[0].dump() if dice.random() < 0.5 else batch(events, dropped=dice.choice([0, 2])).dump()


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(0, 2**64))
def test_whatever_messages_say_they_say_together(seed: int) -> None:
    dice = Random(seed)
    values: list[bytes | None] = []
    for _ in range(dice.randint(1, 12)):
        raw = made(dice)
        values.append(dice.choice([None, b"", mutated(raw, dice.getrandbits(32)), *[raw] * 4]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "TOGETHER", dice.choice([1, 3, decoding.TOGETHER]))
        assert together(values) == singly(values)


def test_what_is_written_as_the_sdk_writes_it_is_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.decoding.decode", lambda _: pytest.fail("alone"))
    values = [batch([event(i), event(i + 1, outcome="ended", session=None)]).dump() for i in range(0, 20, 2)]
    values += [TWO.dump(), event(99, metrics={"tokens": 1}).dump()]
    heard = decode_all(values, TOPIC, lambda i: record(i, 1, values[i]))
    tables = {id(some.said.table) for some in heard if isinstance(some.said, Batch)}
    assert (len(heard), len(tables)) == (12, 2)


def test_what_a_newer_sdk_adds_is_read_together_as_well() -> None:
    newer = json.dumps(json.loads(TWO.dump()) | {"more": {"names": [1.5, None, "ä"]}}, ensure_ascii=False).encode()
    assert isinstance(parse_newer(newer), Packed)
    assert together([newer]) == together([TWO.dump()])


@pytest.mark.parametrize(
    "more", [b'"\xff"', b'"\xed\xa0\x80"', b"[" * 300 + b"]" * 300, b"NaN", b"1e400", b"[" * 10_000], ids=repr
)
def test_what_is_passed_over_is_json_that_the_models_read(more: bytes) -> None:
    for raw in (TWO.dump(), event(1).dump()):
        changed = raw[:-1] + b',"more":' + more + b"}"
        assert together([changed, raw]) == singly([changed, raw])


def changed(**fields: Any) -> bytes:
    return json.dumps(json.loads(TWO.dump()) | fields).encode()


@pytest.mark.parametrize(
    "bad",
    [
        changed(session=[2, 9]),
        changed(session=[2, -2]),
        changed(method=[0, -1]),
        changed(session=[2**63, 0]),
        changed(started_at=[-1, 0]),
        changed(duration_ms=[0, 1e9]),
        changed(session_age_ms=[-0.5, 1]),
        changed(session_gap_ms=[-1, 1e12]),
        changed(first_of_session=[1, 0]),
        changed(first_of_session=[0, 0]),
        changed(first_of_session=[2]),
        changed(sequence=2**53 - 1),
        changed(metrics={"tokens": {"at": [1, 0], "values": [1, 2]}}),
        changed(names=["tools/call", "ok", "x" * 65, *TWO.names[3:]]),
        changed(names=["tools/call", "fine", *TWO.names[2:]]),
        changed(names=[*TWO.names[:4], ""]),
        TWO.dump().replace(b'"tokens":', b'"tokens":{"at":["x"],"values":[]},"tokens":'),
    ],
    ids=lambda raw: raw[-60:].decode(),
)
def test_a_bad_batch_takes_no_other_with_it(bad: bytes) -> None:
    others = [batch([event(i, session=f"s{i}", tool=f"t{i}"), event(i + 1)]).dump() for i in (0, 2)]
    (refused,) = requests(decode(record(0, 1, bad)))
    assert isinstance(refused, BadEvent)
    assert together([others[0], bad, others[1]]) == singly([others[0], bad, others[1]])


def test_a_long_name_is_no_reason_to_read_a_batch_alone() -> None:
    digest = "7.1.session.786db6f38e0cd8b7;" + "f" * 64
    raw = batch([event(1, tool="t" * 120, assignment=digest)]).dump()
    sent = parse_newer(raw)
    assert isinstance(sent, Packed)
    assert read_joint([sent])[0] is not None
    usual = TWO.dump()
    assert isinstance(parse_batch(usual), Packed)
    assert together([usual, raw, changed(names=[*TWO.names[:4], ""])]) == singly(
        [usual, raw, changed(names=[*TWO.names[:4], ""])]
    )


def test_a_service_that_says_little_keeps_nothing_of_others() -> None:
    values = [batch([event(i, service=f"s{i % 3}", session=f"x{i}")]).dump() for i in range(9)]
    for some in decode_all(values, TOPIC, lambda i: record(i, 1, values[i])):
        assert isinstance(some.said, Batch)
        kept = {name for name in some.said.table.session.values if name.startswith("x")}
        assert (len(some.said.table), kept) == (3, {f"x{some.at % 3 + i}" for i in (0, 3, 6)})
    singles = [event(i, producer=f"p{i % 3}", service=f"s{i % 3}", session=f"x{i}").dump() for i in range(9)]
    for some in decode_all(singles, TOPIC, lambda i: record(i, 1, singles[i])):
        assert isinstance(some.said, Loose)
        assert some.said.table.session.values == [f"x{some.at + i}" for i in (0, 3, 6)]


def test_a_stretch_of_single_events_goes_on_where_others_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "TOGETHER", 2)
    quoted = event(3).dump().replace(b'"sequence":3', b'"sequence":"3"')
    values = [event(0).dump(), event(1, session=None).dump(), event(2).dump(), quoted, event(4).dump()]
    heard = decode_all(values, TOPIC, lambda i: record(i, 1, values[i]))
    assert [(some.at, len(some.messages)) for some in heard] == [(0, 5)]
    assert together(values) == singly(values)


@pytest.mark.parametrize("metrics", [20, 32, 33])
def test_of_an_event_with_many_metrics_they_are_counted_wherever_it_stands(metrics: int) -> None:
    many = json.loads(event(1).dump()) | {"metrics": {f"m{i}": i for i in range(metrics)}}
    values = [event(0).dump(), json.dumps(many).encode(), event(2, metrics={"m1": 7.0}).dump()]
    assert together(values) == singly(values)


@pytest.mark.parametrize("name", ["é", "\x00", "\ud83d\ude00", "\\u00e9", "\u2028", "x" * 120, "x" * 121, "é" * 120])
@pytest.mark.parametrize("escaped", [True, False])
def test_names_are_the_same_however_they_are_written(name: str, *, escaped: bool) -> None:
    name = name.encode("utf-16", "surrogatepass").decode("utf-16")
    single = json.dumps(json.loads(event(1).dump()) | {"tool": name}, ensure_ascii=escaped).encode()
    many = json.dumps(json.loads(TWO.dump()) | {"names": [*TWO.names[:4], name]}, ensure_ascii=escaped).encode()
    assert together([single, many]) == singly([single, many])
