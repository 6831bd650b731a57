"""What no feature may break, as assertions over what was written and seen."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from schemas.decisions import LedgerEntry


def assert_no_share_rose_on_missing_word(entries: Sequence[LedgerEntry]) -> None:
    """Invariant 1, for one rollout: a share rises only by a decision of the judge that quotes the acknowledgement of the
    stage before it, rests on both cohorts' requests, and was not preceded by a breach."""
    for before, after in pairwise(entries):
        if after.share <= before.share:
            continue
        assert before.kind != "rollback"
        assert after.after == before.id
        assert after.acknowledged is not None
        assert after.acknowledged.entry == before.id
        assert after.acknowledged.at <= after.decided_at
        assert after.checks
        for check in after.checks:
            assert check.verdict != "breached"
        for check in after.checks:
            if check.verdict == "within":
                assert check.baseline.n > 0
                assert check.canary.n > 0
        assert any(check.baseline.n > 0 and check.canary.n > 0 for check in after.checks)


def assert_chain(entries: Sequence[LedgerEntry]) -> None:
    """Invariant 2, for one rollout: every entry follows the one before it, a rollback any of those before it, and its id
    says what it stands for."""
    ids = [entry.id for entry in entries]
    for i, after in enumerate(entries[1:], 1):
        assert after.after in (ids[:i] if after.kind == "rollback" else ids[i - 1 : i])
    for entry in entries:
        assert entry.id == entry.derived_id()


def assert_sessions_stayed(seen: dict[str, Any]) -> None:
    """Invariant 7, by what clients saw: each session met one version from first to last, and ended by itself."""
    assert_nobody_moved(seen)
    assert seen["broken"] == 0, seen["breakages"]


def assert_nobody_moved(seen: dict[str, Any], moves_of_principals: int = 0) -> None:
    """Invariant 7, by what clients saw: one version answered all calls of a session, also where the session died then, and
    of a cookie; a principal moved so often at most: up once a rollout, and back once."""
    assert sum(seen["sessions"].values()) > 0
    assert set(seen["moved"]) <= ({"principal"} if moves_of_principals else set())
    assert seen["most_moves"] <= moves_of_principals
