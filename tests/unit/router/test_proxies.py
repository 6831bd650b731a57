"""Which proxies a router knows, and what it was told to forget."""

from router.proxies import TOLD_S, Forgetting, Known, Told
from schemas.control import Command


def forgetting(proxy: str = "lb1", offset: int = 4, service: str = "orders", partition: int = 0) -> Forgetting:
    return Forgetting(service, proxy, partition, offset)


def test_only_a_command_to_forget_is_one() -> None:
    word = Command(id="c", service="orders", kind="forget", seen="", actor="ada", proxy="lb1")
    assert Forgetting.of(word, 2, 7) == forgetting(offset=7, partition=2)
    assert Forgetting.of(Command(id="c", service="orders", kind="hold", seen="", actor="ada"), 2, 7) is None


def test_who_was_met_is_known_for_good() -> None:
    known = Known().met(["lb1"]).met(["lb0", "lb1"]).met([])
    assert known.names == ("lb0", "lb1")


def test_a_command_is_carried_out_once_in_each_partition() -> None:
    known = Known(names=("lb0", "lb1"))
    assert known.is_new(forgetting(offset=0))
    known = known.forgot(forgetting(), left=["lb0"])
    assert known.names == ("lb0",)
    assert not known.is_new(forgetting())
    assert known.is_new(forgetting(offset=5))
    assert known.is_new(forgetting(partition=1))


def test_who_lives_is_left() -> None:
    assert Known(names=("lb0",)).forgot(forgetting("lb0"), left=["lb0"]).names == ("lb0",)


def test_a_forgetting_is_told_for_a_while_to_its_service_alone() -> None:
    told = Told()
    told.add(forgetting(), now_s=100.0)
    told.add(forgetting("lb1", offset=9), now_s=110.0)
    assert told.of("billing", 110.0) == {}
    assert told.of("orders", 110.0) == {"lb1": 9}
    assert told.of("orders", 109.9 + TOLD_S) == {"lb1": 9}
    assert told.of("orders", 110.0 + TOLD_S) == {}
