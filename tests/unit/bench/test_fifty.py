"""What the benchmark of many rollouts is made of."""

import os
import sys
import time

import pytest

from bench.fifty import RATES, SLOWEST, Answer, Found, plan, service, slowest, table
from bench.processes import Scheduled, cpu_s, memory_mb, scheduled

TICKS_S = 0.1
"""`/proc` counts in hundredths of a second, twice."""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_is_asked_for_its_time_and_memory() -> None:
    begun_s, found_s, ended_s = time.process_time(), cpu_s(os.getpid()), time.process_time()
    assert begun_s - TICKS_S <= found_s <= ended_s + TICKS_S
    assert 10 < memory_mb(os.getpid(), "VmRSS") < 100_000
    before = scheduled(os.getpid())
    sum(range(1_000_000))
    since = scheduled(os.getpid()).since(before)
    assert since.ran_ms > 0
    assert since.waited_ms >= 0


def test_every_service_has_a_path_of_its_own_and_both_versions_of_its_plan() -> None:
    made = [service(number) for number in (1, 50)]
    assert [one.path for one in made] == ["/orders-01", "/orders-50"]
    assert all(plan(one.service).canary in one.versions for one in made)
    assert set(RATES) == set(made[0].versions)


def answer(took_ms: float, ran_ms: float = 5.0, waited_ms: float = 10.0) -> Answer:
    return Answer(took_ms, Scheduled(ran_ms, waited_ms))


def test_of_the_slowest_answers_it_is_told_what_they_waited_for() -> None:
    quick = [answer(9.0, ran_ms=9.0, waited_ms=0.0)] * 50
    slow = [answer(100.0 + i, ran_ms=20.0, waited_ms=70.0) for i in range(SLOWEST)]
    told = " ".join(slowest(quick + slow).split())
    assert told.startswith("The 10 slowest of all took 104 ms in the mean: ")
    assert "worked for 20 ms of it, and for 70 ms it was ready" in told


def test_the_table_says_how_fast_how_much_and_how_many() -> None:
    found = Found(
        [answer(40.0), answer(60.0)],
        [answer(20.0), answer(30.0)],
        {"judge": 21.4},
        {"judge": 110.2},
        collecting=50,
        sessions=568,
        looked_s=1.7,
        list_cpu_ms=4.2,
    )
    lines = table(found, 50, 30.0).splitlines()
    assert "| the page's list, HTML | 50 ms | 60 ms | 2: 60 ms |" in lines
    assert "| judge | 21 % | 110 MB |" in lines
    assert "50 of 50 rollouts" in lines[1]
    assert any(line.startswith("The list takes 4.2 ms") for line in lines)
