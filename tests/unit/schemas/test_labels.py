"""Labels: rebuilt from the seed by whoever knows it, and read back."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.labels import UNJUDGED, Kind, Label, nonce, salt, split_assignment

SEEDS = st.integers(0, 2**128 - 1).map(lambda n: f"{n:032x}")
LABELS = st.builds(
    Label.make,
    SEEDS,
    st.integers(0, 999_999_999),
    st.integers(0, 999),
    st.sampled_from(["v1", "v2", "2026.11-rc_1"]),
    st.sampled_from(get_args(Kind)),
)


@given(LABELS)
def test_a_label_is_read_back_and_fits_into_every_id(label: Label) -> None:
    assert Label.parse(str(label)) == label
    assert len(str(label)) <= 40
    assert "~" not in str(label)


@pytest.mark.parametrize(
    "text", ["-", "", "1.1.request.0123456789abcdef", "1.1.session.0123", "01.1.session." + "0" * 16]
)
def test_anything_else_is_none(text: str) -> None:
    assert Label.parse(text) is None


@given(SEEDS)
def test_each_stage_version_and_kind_has_a_nonce_of_its_own(seed: str) -> None:
    made = {nonce(seed, stage, v, kind) for stage in (1, 2) for v in ("v1", "v2") for kind in get_args(Kind)}
    assert len(made) == 12


@given(SEEDS, SEEDS)
def test_a_salt_is_its_rollouts_alone_and_tells_no_nonce_and_no_seed(seed: str, other: str) -> None:
    assert salt(seed) == salt(seed)
    assert (salt(seed) == salt(other)) == (seed == other)
    assert salt(seed) not in seed
    assert salt(seed) not in {nonce(seed, stage, "v1", kind) for stage in range(4) for kind in get_args(Kind)}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("1.1.session.x;v2", ("1.1.session.x", "v2")),
        ("-;v1", (UNJUDGED, "v1")),
        (None, (UNJUDGED, None)),
        ("", (UNJUDGED, None)),
        ("v2", (UNJUDGED, None)),
        (";v2", (UNJUDGED, None)),
        ("1.1.session.x;", (UNJUDGED, None)),
    ],
)
def test_what_a_server_is_told_is_label_and_version(header: str | None, expected: tuple[str, str | None]) -> None:
    assert split_assignment(header) == expected
