"""What several routers say of their proxies, added up."""

from judge.rollout.fleet import Fleet
from schemas.control import ProxyRoute, RouteChange


def said(router: str, entry: str, **proxies: str) -> RouteChange:
    """A router's word: each proxy's state by its name."""
    routes = tuple(ProxyRoute.model_validate({"proxy": name, "state": state}) for name, state in proxies.items())
    done = bool(routes) and all(route.state == "acknowledged" for route in routes)
    return RouteChange(
        service="orders", router=router, entry=entry, version="1-1", proxies=routes, acknowledged=done, at=1
    )


def fleet(*words: RouteChange) -> Fleet:
    made = Fleet()
    for word in words:
        made.read(word)
    return made


def test_without_a_proxy_nothing_is_acknowledged() -> None:
    assert not fleet().runs("e1")
    assert not fleet(said("r1", "e1")).runs("e1")


def test_one_router_whose_proxies_have_all_acknowledged_is_enough() -> None:
    assert fleet(said("r1", "e1", lb0="acknowledged", lb1="acknowledged")).runs("e1")


def test_an_acknowledgement_is_of_one_entry_only() -> None:
    assert not fleet(said("r1", "e1", lb0="acknowledged")).runs("e2")


def test_a_router_does_not_speak_for_the_proxies_of_another() -> None:
    words = [said("r1", "e1", lb0="acknowledged"), said("r2", "e1", lb1="pending")]
    assert not fleet(*words).runs("e1")
    assert not fleet(*reversed(words)).runs("e1")
    assert fleet(*words, said("r2", "e1", lb1="acknowledged")).runs("e1")


def test_a_router_without_proxies_takes_nothing_back() -> None:
    assert fleet(said("r1", "e1", lb0="acknowledged"), said("r2", "e1")).runs("e1")


def test_a_router_that_lags_keeps_its_proxies_unknown() -> None:
    words = [said("r1", "e2", lb0="acknowledged"), said("r2", "e1", lb1="acknowledged")]
    assert not fleet(*words).runs("e2")
    assert not fleet(*words).runs("e1")


def test_a_proxy_that_moved_counts_where_it_is() -> None:
    assert fleet(said("r2", "e1", lb0="acknowledged"), said("r1", "e1", lb0="pending")).runs("e1")


def test_a_proxy_that_was_forgotten_is_missed_no_longer() -> None:
    cut_off = said("r1", "e1", lb0="acknowledged", lb1="pending")
    assert not fleet(cut_off).runs("e1")
    assert fleet(cut_off, said("r1", "e1", lb0="acknowledged")).runs("e1")


def test_a_proxy_that_was_lost_again_blocks_again() -> None:
    assert not fleet(said("r1", "e1", lb0="acknowledged"), said("r1", "e1", lb0="pending")).runs("e1")
