"""Variants of the policy: what is changed is put back, and told variants are told the truth."""

from pathlib import Path

import numpy as np
import pytest

from bench.judge import tuning
from bench.judge.faults import FAULTS
from bench.judge.traffic import WINDOW_S, stream
from bench.judge.tuning import Tried, append, go_on, load, page, quiet, times
from bench.judge.variants import VARIANTS, best_bet, changed
from bench.judge.windows import Rollout
from judge.policies import sequential
from judge.stats import process

CHANGES = ("nu", "bets", "start", "dispersion", "restarts", "no-max", "by-variance", "mostly-large", "revision2")
"""Of what :func:`constants` looks at."""
FAULT = FAULTS["outage"]
ROLLOUT = Rollout(stream(10.0, FAULT, 0, 300.0))


def constants() -> tuple[object, ...]:
    places = (
        (sequential, "REVISIONS"),
        (process, "_ABOVE"),
    )
    return tuple(getattr(module, name) for module, name in places)


@pytest.mark.parametrize("name", VARIANTS)
def test_what_a_variant_changes_is_put_back(name: str) -> None:
    before = constants()
    with changed(VARIANTS[name], ROLLOUT, FAULT):
        assert (constants() != before) == (name in {"bet", "all"} or name.startswith(CHANGES))
    assert constants() == before


def test_what_is_changed_is_put_back_after_a_failure_too() -> None:
    before = constants()
    with pytest.raises(KeyError), changed(VARIANTS["nu2"], ROLLOUT, FAULT):
        raise KeyError
    assert constants() == before


def test_a_shorter_stream_is_the_begin_of_the_longer_one() -> None:
    longer, many = stream(10.0, FAULT, 0, 600.0), int(300 / WINDOW_S)
    assert np.array_equal(ROLLOUT.stream.table[:many], longer.table[:many])


def test_the_best_bet_grows_with_the_fault() -> None:
    assert 2 < best_bet(FAULTS["errors+5"]) < best_bet(FAULTS["errors+20"]) < best_bet(FAULTS["outage"])


def test_who_is_told_more_is_not_later_and_runs_are_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "FOUND_S", 300.0)
    file = tmp_path / "tuning.jsonl"
    for _ in range(2):
        go_on(file, ["outage"], ["shipped", "all"], range(1), float("inf"))
    shipped, told = load(file)
    assert (shipped.variant, told.variant, shipped.end, told.end) == ("shipped", "all", "rolled_back", "rolled_back")
    assert told.at_s <= shipped.at_s


def test_the_page_tells_pairs_and_shares(tmp_path: Path) -> None:
    file = tmp_path / "tuning.jsonl"
    for seed, at in enumerate((50.0, 60.0, 70.0, 80.0, 90.0)):
        append(file, [Tried("shipped", "errors+20", seed, "rolled_back", at, 30.0)])
        append(file, [Tried("nu2", "errors+20", seed, "rolled_back", at - 10, 30.0)])
        append(file, [Tried("nu2", "margin", seed, "held" if seed else "rolled_back", 6000.0, None)])
    tried = load(file)
    assert "(5), 2.0 ×, -10 ± 0 s" in times(tried)
    assert "20 ± 18 % of 5" in quiet(tried)
    assert "{{" not in page(tried)
