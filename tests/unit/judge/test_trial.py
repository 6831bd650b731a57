"""From windows to strata: who is compared with whom."""

from hypothesis import given
from hypothesis import strategies as st

from judge.trial import Stratum, TrialWindow, by_rollout
from schemas.labels import Label
from schemas.windows import Cell
from tests.builders import SEED
from tests.unit.judge.trials import cell, trial, window

TRIAL = trial()


def totals(of: TrialWindow) -> dict[Stratum, tuple[int, int]]:
    """Requests of baseline and canary."""
    return {s: (int(p.baseline.buckets[:, 0].sum()), int(p.canary.buckets[:, 0].sum())) for s, p in of.strata.items()}


def test_a_stratum_holds_the_sessions_of_one_stage_of_birth_and_one_kind() -> None:
    cells = [cell("v1", 10), cell("v2", 5), cell("v1", 6, stage=2), cell("v2", 3, stage=2, kind="principal")]
    assert totals(window(TRIAL, 1, cells)) == {
        Stratum(1, "session"): (10, 5),
        Stratum(2, "principal"): (0, 3),
        Stratum(2, "session"): (6, 0),
    }


def test_a_label_with_a_foreign_nonce_is_nobodys_evidence() -> None:
    forged = cell("v2", 100, 100).model_copy(update={"label": str(Label(1, 1, "session", "0" * 16))})
    other = cell("v1", 50).model_copy(update={"label": str(Label.make(SEED, 1, 1, "v2", "session"))})
    assert totals(window(TRIAL, 1, [forged, other, cell("v1", 8)])) == {Stratum(1, "session"): (8, 0)}


def test_other_versions_rollouts_and_unlabelled_sessions_are_not_compared() -> None:
    plain = Cell(version="v1", label="-", outcomes={"ok": 1000})
    older = cell("v1", 7).model_copy(update={"label": str(Label.make(SEED, 2, 1, "v1", "session"))})
    assert window(TRIAL, 1, [plain, older, cell("v7", 9)]).strata == {}
    assert {rollout: len(cells) for rollout, cells in by_rollout([plain, older, cell("v1", 1)]).items()} == {2: 1, 1: 1}


CELLS = st.builds(
    cell,
    st.sampled_from(["v1", "v2", "v3"]),
    st.integers(0, 20),
    st.just(0),
    stage=st.integers(1, 3),
    buckets=st.integers(1, 64),
)


@given(st.lists(CELLS, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_partitions_changes_nothing(cells: list[Cell], chance: object) -> None:
    shuffled = chance.sample(cells, len(cells))  # type: ignore[attr-defined]
    one, other = window(TRIAL, 1, cells), window(TRIAL, 1, shuffled)
    assert totals(one) == totals(other)
    assert list(one.strata) == sorted(one.strata)
    for cohort in ("baseline", "canary"):
        assert one.buckets(cohort).tolist() == other.buckets(cohort).tolist()
