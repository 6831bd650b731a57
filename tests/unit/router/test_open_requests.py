"""Each request that hangs is counted once, in bounded memory."""

from router.open_requests import FORGOTTEN_AFTER_MS, OpenRequests
from router.proxy_log import Logged


def entry(request: str, *, ended: bool = False) -> Logged:
    return Logged("orders", "v2", "-", draws=False, cause="hung", request=(request, 1), ended=ended, answered=False)


def test_it_knows_how_often_a_request_was_logged_until_it_ends() -> None:
    made = OpenRequests()
    assert [made.read(entry("a"), 0) for _ in range(3)] == [1, 2, 3]
    assert made.read(entry("b"), 0) == 1
    assert made.read(entry("a", ended=True), 0) == 4
    assert made.read(entry("a", ended=True), 0) == 1


def test_requests_that_hang_for_ever_cost_bounded_memory_and_those_that_are_known_stay_so() -> None:
    made = OpenRequests(kept=2)
    for seconds in range(5, 100, 5):
        times = [made.read(entry(name), 1000 * seconds) for name in "abc"]
        assert times == [seconds // 5, seconds // 5, 1]
    assert len(made._known) == 2


def test_a_request_that_is_not_logged_any_more_makes_room() -> None:
    made = OpenRequests(kept=2)
    for name in "ab":
        made.read(entry(name), 0)
    made.read(entry("b"), 5_000)
    assert [made.read(entry("c"), FORGOTTEN_AFTER_MS - 1) for _ in range(2)] == [1, 1]
    assert [made.read(entry("c"), FORGOTTEN_AFTER_MS) for _ in range(2)] == [1, 2]
    assert made.read(entry("b"), FORGOTTEN_AFTER_MS) == 3
