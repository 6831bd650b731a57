"""Events of every kind, and what columns say of them row by row."""

from random import Random
from typing import Any

from davylamp_sdk._event import RequestEvent
from streams.columns import OUTCOMES, Columns
from tests.telemetry import event

Row = tuple[Any, ...]


def made_event(sequence: int, dice: Random) -> RequestEvent:
    return event(
        min(sequence, 2**53 - 1),
        session=dice.choice([None, "", "s", "t"]),
        assignment=dice.choice([None, "", "7.1.session.786db6f38e0cd8b7;v1"]),
        tool=dice.choice([None, "search"]),
        error_type=dice.choice([None, "-32603"]),
        outcome=dice.choice(OUTCOMES),
        method=dice.choice(["tools/call", "initialize"]),
        first_of_session=dice.random() < 0.5,
        session_age_ms=dice.choice([None, 0.0, 12.5]),
        session_gap_ms=dice.choice([None, 1.5]),
        metrics=dice.choice([{}, {"tokens": 3.0}, {"tokens": -1.0, "ä": 1e300}]),
    )


def rows(columns: Columns) -> list[Row]:
    """What columns say, row by row, none of it rounded."""
    coded = [columns.version, columns.assignment, columns.session, columns.tool]
    named = [[None if code < 0 else c.values[code] for code in c.codes] for c in coded]
    plain = [columns.tool_call, columns.started_at, columns.duration_ms, columns.age_ms, columns.gap_ms]
    outcome = [OUTCOMES[i] for i in columns.outcome]
    metrics: list[dict[str, float]] = [{} for _ in outcome]
    for name, metric in columns.metrics.items():
        for at, value in zip(metric.at.tolist(), metric.values.tolist(), strict=True):
            metrics[at][name] = value
    lists = [*named, outcome, *(c.tolist() for c in (*plain, columns.first_of_session)), metrics]
    return list(zip(*lists, strict=True))


def row(said: RequestEvent) -> Row:
    ages = [-1.0 if age is None else age for age in (said.session_age_ms, said.session_gap_ms)]
    named = (said.version, said.assignment, said.session, said.tool, said.outcome, said.method == "tools/call")
    return (*named, said.started_at, said.duration_ms, *ages, said.first_of_session, said.metrics)
