"""What the proxy stamped, and the bucket of a session."""

from collections import Counter

import pytest

from schemas.windows import BUCKETS
from streams import assignments
from streams.assignments import Assignment, bucket_of, buckets_of, read_assignment
from tests.telemetry import BASELINE, LABEL


def test_an_assignment_is_a_label_and_a_version() -> None:
    assert read_assignment(BASELINE) == Assignment("v1", LABEL, 7)


@pytest.mark.parametrize("header", [None, "", ";", "v1", ";v1", f"{LABEL};"])
def test_without_both_nobody_assigned_the_request(header: str | None) -> None:
    assert read_assignment(header) == Assignment(None, "-", None)


@pytest.mark.parametrize(
    "label",
    [
        "-",
        "junk",
        "7.1.session",
        "7.1.team.786db6f38e0cd8b7",
        "07.1.session.786db6f38e0cd8b7",
        "٧.1.session.786db6f38e0cd8b7",
    ],
)
def test_what_no_proxy_writes_is_no_label_but_the_version_counts(label: str) -> None:
    assert read_assignment(f"{label};v2") == Assignment("v2", "-", None)


def test_a_session_keeps_its_bucket_within_a_rollout_and_changes_it_with_the_next() -> None:
    buckets = {rollout: [bucket_of(rollout, f"s{i}") for i in range(200)] for rollout in (7, 8)}
    assert buckets[7] == [bucket_of(7, f"s{i}") for i in range(200)]
    assert sum(a == b for a, b in zip(buckets[7], buckets[8], strict=True)) < 20


def test_the_bucket_is_pinned_for_every_other_implementation() -> None:
    assert [bucket_of(rollout, "9f86d081") for rollout in (0, 7, 999_999_999)] == [16, 45, 43]


def test_buckets_are_used_evenly() -> None:
    counts = Counter(bucket_of(1, f"s{i}") for i in range(64 * 200))
    assert set(counts) == set(range(BUCKETS))
    assert max(counts.values()) < 2 * min(counts.values())


def test_buckets_are_the_same_remembered_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = [f"s{i % 40}" for i in range(100)]
    truth = {rollout: [bucket_of(rollout, session) for session in sessions] for rollout in (1, 2)}
    assert truth[1] != truth[2]
    monkeypatch.setattr(assignments, "REMEMBERED", 30)
    for _ in range(3):
        for rollout in (1, 2):
            assert buckets_of(rollout, sessions).tolist() == truth[rollout]
        assert sum(map(len, assignments._known.values())) <= 30 + 40
