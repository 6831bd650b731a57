"""From windows to strata: who is compared with whom."""

from hypothesis import given
from hypothesis import strategies as st

from judge.evidence import RolloutWindows, Strata, labelled
from schemas.decisions import Opening
from schemas.labels import Label
from schemas.plan import Plan
from schemas.service import Service
from schemas.windows import Bucket, Cell

SEED = "0a" * 16
OPENING = Opening(
    plan=Plan(service="orders", canary="v2"),
    service=Service.model_validate(
        {"service": "orders", "baseline": "v1", "versions": {v: {"endpoints": ["a:1"]} for v in ("v1", "v2")}}
    ),
    seed=SEED,
)


def cell(version: str, ok: int, bad: int = 0, stage: int = 1, rollout: int = 3, bucket: int = 0) -> Cell:
    return Cell(
        version=version,
        label=str(Label.make(SEED, rollout, stage, version, "session")),
        outcomes={"ok": ok, "rpc_error": bad},
        new_sessions=1,
        buckets={bucket: Bucket(n=ok + bad, err=bad)},
    )


def windows(*steps: tuple[int, list[Cell]]) -> RolloutWindows:
    made = RolloutWindows()
    for end_ms, cells in steps:
        made.add(end_ms, labelled(cells).get(3, []))
    return made


def strata(*steps: tuple[int, list[Cell]]) -> Strata:
    return windows(*steps).strata(OPENING, "v1", 3)


def test_a_row_holds_the_sessions_of_one_window_and_one_stage_of_birth() -> None:
    got = strata((5, [cell("v1", 10), cell("v2", 4, 1), cell("v1", 6, stage=2), cell("v2", 3, stage=2)]))
    assert got.window_end_ms.tolist() == [5, 5]
    assert got.baseline.tolist() == [[10, 0], [6, 0]]
    assert got.canary.tolist() == [[5, 1], [3, 0]]


def test_partitions_of_a_window_add_up_and_windows_stay_apart() -> None:
    got = strata((5, [cell("v1", 10)]), (5, [cell("v1", 7, 2), cell("v2", 1)]), (10, [cell("v2", 9)]))
    assert got.baseline.tolist() == [[19, 2], [0, 0]]
    assert got.canary.tolist() == [[1, 0], [9, 0]]


def test_a_label_with_a_foreign_nonce_is_nobodys_evidence() -> None:
    forged = cell("v2", 0, 100).model_copy(update={"label": str(Label(3, 1, "session", "0" * 16))})
    other = cell("v1", 50).model_copy(update={"label": str(Label.make(SEED, 3, 1, "v2", "session"))})
    got = strata((5, [forged, other, cell("v1", 8)]))
    assert got.canary.tolist() == [[0, 0]]
    assert got.baseline.tolist() == [[8, 0]]
    assert got.canary_buckets.sum() == 0


def test_other_versions_rollouts_and_unlabelled_sessions_are_not_compared() -> None:
    plain = Cell(version="v1", label="-", outcomes={"ok": 1000})
    assert strata((5, [plain, cell("v7", 9), cell("v1", 3, rollout=2)])).baseline.sum() == 0


def test_cancelled_and_rejected_requests_count_on_neither_side() -> None:
    mixed = cell("v1", 5).model_copy(
        update={
            "outcomes": {"ok": 5, "cancelled": 3, "rejected": 2, "input_required": 1, "tool_error": 4, "timeout": 1}
        }
    )
    assert strata((5, [mixed])).baseline.tolist() == [[11, 1]]


def test_sessions_are_counted_by_version_and_stage() -> None:
    got = windows((5, [cell("v2", 4), cell("v2", 4, stage=2)]), (10, [cell("v2", 1), cell("v1", 1)]))
    assert got.new_sessions(OPENING, 3, "v2") == 3
    assert got.new_sessions(OPENING, 3, "v2", stage=1) == 2
    assert got.new_sessions(OPENING, 3, "v1") == 1


def test_no_windows_are_no_rows() -> None:
    assert len(strata().window_end_ms) == 0
    assert strata().canary_buckets.shape == (64, 2)


CELLS = st.builds(
    cell,
    st.sampled_from(["v1", "v2", "v3"]),
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(1, 3),
    st.just(3),
    st.integers(0, 63),
)


@given(st.lists(CELLS, max_size=12), st.data())
def test_the_order_of_partitions_and_how_they_are_cut_change_nothing(cells: list[Cell], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(cells))
    cut = data.draw(st.integers(0, len(cells)))
    whole, parts = strata((5, cells)), strata((5, shuffled[:cut]), (5, shuffled[cut:]))
    assert whole.baseline.tolist() == parts.baseline.tolist()
    assert whole.canary.tolist() == parts.canary.tolist()
    assert whole.canary_buckets.tolist() == parts.canary_buckets.tolist()
    assert whole.canary_buckets.sum(axis=0).tolist() == whole.canary.sum(axis=0).tolist()
