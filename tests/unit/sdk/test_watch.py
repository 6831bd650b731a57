"""The watch: of a request's end and its timeout exactly one is told."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from davylamp_sdk._watch import Watch


class Told:
    """Who was told as hung, in order."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def of(self, name: str) -> "Teller":
        return Teller(self, name)


class Teller:
    def __init__(self, told: Told, name: str) -> None:
        self._told = told
        self._name = name

    def __call__(self) -> None:
        self._told.names.append(self._name)


def test_a_request_that_ends_in_time_is_not_told() -> None:
    watch, told = Watch(60), Told()
    watch.begin("a", 0, told.of("a"))
    assert watch.end("a")
    assert watch.look(1_000) == 60
    assert (told.names, watch.late, len(watch)) == ([], 0, 0)


def test_a_request_that_runs_on_is_told_once_and_its_end_is_only_counted() -> None:
    watch, told = Watch(60), Told()
    watch.begin("a", 0, told.of("a"))
    watch.look(59.9)
    assert told.names == []
    watch.look(60)
    watch.look(61)
    assert told.names == ["a"]
    assert not watch.end("a")
    assert watch.late == 1


def test_the_next_look_is_due_when_the_oldest_loses_its_patience() -> None:
    watch, told = Watch(60), Told()
    watch.begin("a", 0, told.of("a"))
    watch.begin("b", 10, told.of("b"))
    assert watch.look(5) == 55
    watch.end("a")
    assert watch.look(5) == 65
    assert watch.look(70.5) == 60
    assert told.names == ["b"]


def test_whoever_begins_while_nobody_runs_is_looked_at_in_time() -> None:
    watch = Watch(60)
    asleep_s = watch.look(100)
    watch.begin("a", 100.5, lambda: None)
    assert 100 + asleep_s < 100.5 + 60


def test_patience_must_be_some() -> None:
    for nothing in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="a request needs some time"):
            Watch(nothing)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["begin", "end", "look"]), st.integers(0, 4), st.floats(0, 30)), max_size=50
    )
)
def test_each_that_began_has_ended_or_was_told_or_runs(steps: list[tuple[str, int, float]]) -> None:
    watch, told = Watch(20), Told()
    now, began, ended = 0.0, 0, 0
    running: dict[str, float] = {}
    for step, number, passed in steps:
        now += passed
        name = str(number)
        if step == "begin" and name not in running:
            watch.begin(name, now, told.of(name))
            running[name] = now
            began += 1
        elif step == "end" and name in running and name not in told.names:
            ended += watch.end(name)
            del running[name]
        elif step == "look":
            watch.look(now)
            hung = {name for name, since in running.items() if now - since >= 20}
            running = {name: since for name, since in running.items() if name not in hung}
            assert hung <= set(told.names)
        assert began == ended + len(told.names) + len(watch)


def test_many_threads_may_begin_and_end_while_somebody_looks() -> None:
    watch = Watch(1e-9)
    told: list[None] = []
    ended: list[bool] = []

    def serve(name: int) -> None:
        for n in range(500):
            watch.begin((name, n), 0, lambda: told.append(None))
            ended.append(watch.end((name, n)))

    threads = [threading.Thread(target=serve, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        watch.look(1)
    assert len(ended) == 2_000
    assert ended.count(False) == len(told) == watch.late
