"""What several routers say of their proxies, added up; and which proxies exist."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.control import ProxyRoute, RouteChange
from schemas.fleet import SILENT_MS, Fleet, Roster

NOW = 1_000_000


def said(
    router: str, entry: str, *, live: bool = False, forgets: dict[str, int] | None = None, **proxies: str
) -> RouteChange:
    """A router's word: each proxy's state by its name; `cut` is a proxy that is cut off."""
    routes = tuple(
        ProxyRoute.model_validate(
            {"proxy": name, "state": "pending" if state == "cut" else state, "connected": state != "cut"}
        )
        for name, state in proxies.items()
    )
    done = bool(routes) and all(route.state == "acknowledged" for route in routes)
    return RouteChange(
        service="orders",
        router=router,
        entry=entry,
        version="1-1",
        proxies=routes,
        acknowledged=done,
        live=live,
        forgotten=forgets or {},
        at=1,
    )


def fleet(*words: RouteChange, at_ms: int = NOW) -> Fleet:
    made = Fleet()
    for word in words:
        made = made.read(word, at_ms)
    return made


def runs(made: Fleet, entry: str, now_ms: int = NOW) -> bool:
    return made.runs(entry, now_ms)


def test_without_a_proxy_nothing_is_acknowledged() -> None:
    assert not runs(fleet(), "e1")
    assert not runs(fleet(said("r1", "e1")), "e1")


def test_one_router_whose_proxies_have_all_acknowledged_is_enough() -> None:
    assert runs(fleet(said("r1", "e1", lb0="acknowledged", lb1="acknowledged")), "e1")


def test_an_acknowledgement_is_of_one_entry_only() -> None:
    assert not runs(fleet(said("r1", "e1", lb0="acknowledged")), "e2")


def test_a_router_does_not_speak_for_the_proxies_of_another() -> None:
    words = [said("r1", "e1", lb0="acknowledged"), said("r2", "e1", lb1="pending")]
    assert not runs(fleet(*words), "e1")
    assert not runs(fleet(*reversed(words)), "e1")
    assert runs(fleet(*words, said("r2", "e1", lb1="acknowledged")), "e1")


def test_a_router_without_proxies_takes_nothing_back() -> None:
    assert runs(fleet(said("r1", "e1", lb0="acknowledged"), said("r2", "e1")), "e1")


def test_a_router_that_lags_keeps_its_proxies_unknown() -> None:
    words = [said("r1", "e2", lb0="acknowledged"), said("r2", "e1", lb1="acknowledged")]
    assert not runs(fleet(*words), "e2")
    assert not runs(fleet(*words), "e1")


def test_a_proxy_that_moved_counts_where_it_is() -> None:
    assert runs(fleet(said("r2", "e1", lb0="acknowledged"), said("r1", "e1", lb0="cut")), "e1")


def test_a_proxy_that_was_lost_again_blocks_again() -> None:
    assert not runs(fleet(said("r1", "e1", lb0="acknowledged"), said("r1", "e1", lb0="cut")), "e1")


# Which proxies exist.


def test_a_proxy_exists_although_its_router_no_longer_names_it() -> None:
    made = fleet(said("r1", "e1", lb0="acknowledged", lb1="acknowledged"), said("r1", "e1", lb0="acknowledged"))
    assert not runs(made, "e1")
    missing = made.picture("e1", NOW)[1]
    assert (missing.proxy, missing.state, missing.connected) == ("lb1", "pending", False)


def test_a_proxy_that_was_forgotten_is_missed_no_longer() -> None:
    cut_off = fleet(said("r1", "e1", lb0="acknowledged", lb1="cut"))
    assert not runs(cut_off, "e1")
    forgotten = cut_off.read(said("r1", "e1", forgets={"lb1": 7}, lb0="acknowledged"), NOW)
    assert runs(forgotten, "e1")
    assert [proxy.proxy for proxy in forgotten.picture("e1", NOW)] == ["lb0"]


def test_who_has_not_heard_of_the_forgetting_does_not_bring_a_proxy_back() -> None:
    made = fleet(
        said("r1", "e1", lb0="acknowledged", lb1="cut"),
        said("r2", "e1", lb1="cut"),
        said("r1", "e1", forgets={"lb1": 7}, lb0="acknowledged"),
        said("r2", "e1", lb1="cut"),
    )
    assert runs(made, "e1")


def test_a_forgotten_proxy_that_connects_comes_back_and_stays() -> None:
    forgotten = fleet(said("r1", "e1", lb0="acknowledged", lb1="cut"), said("r1", "e1", forgets={"lb1": 7}))
    back = forgotten.read(said("r2", "e1", lb1="pending"), NOW)
    assert "lb1" in back.roster.names
    again = back.read(said("r1", "e1", forgets={"lb1": 7}), NOW)
    assert "lb1" in again.roster.names, "the command was carried out before it came back"
    assert "lb1" not in again.read(said("r1", "e1", forgets={"lb1": 8}), NOW).roster.names


def test_a_proxy_that_lives_is_not_forgotten_by_the_router_that_it_talks_to() -> None:
    assert Roster().read(said("r1", "e1", forgets={"lb0": 3}, lb0="acknowledged")).names == {"lb0"}


# Silence.


def test_a_live_picture_counts_for_five_seconds() -> None:
    made = fleet(said("r1", "e1", live=True, lb0="acknowledged"))
    assert runs(made, "e1", NOW + SILENT_MS)
    assert not runs(made, "e1", NOW + SILENT_MS + 1)
    unknown = made.picture("e1", NOW + SILENT_MS + 1)[0]
    assert (unknown.proxy, unknown.state, unknown.connected) == ("lb0", "pending", False)


def test_a_picture_of_a_rollout_that_cannot_rise_holds_until_the_next_one() -> None:
    assert runs(fleet(said("r1", "e1", lb0="acknowledged")), "e1", NOW + 86_400_000)


def test_a_silent_routers_proxies_are_unknown_unless_another_reports_them() -> None:
    silent = fleet(said("r1", "e1", live=True, lb0="acknowledged", lb1="acknowledged"))
    later = NOW + 10_000
    assert not runs(silent.read(said("r2", "e1", live=True, lb0="acknowledged"), later), "e1", later)
    both = said("r2", "e1", live=True, lb0="acknowledged", lb1="acknowledged")
    assert runs(silent.read(both, later), "e1", later)


NAMES = st.sampled_from(["lb0", "lb1", "lb2"])
WORDS = st.builds(
    lambda router, states, forgets: said(router, "e1", forgets=forgets, **states),
    st.sampled_from(["r1", "r2"]),
    st.dictionaries(NAMES, st.sampled_from(["acknowledged", "pending", "rejected", "cut"])),
    st.dictionaries(NAMES, st.integers(0, 3), max_size=1),
)


@given(st.lists(WORDS, max_size=12))
def test_a_proxy_ends_only_by_a_new_command_and_begins_only_by_being_named(words: list[RouteChange]) -> None:
    roster = Roster()
    for word in words:
        before, roster = roster, roster.read(word)
        ended = before.names - roster.names
        assert ended == {n for n in ended if word.forgotten.get(n, -1) > before.forgotten.get(n, -1)}
        assert roster.names - before.names <= {proxy.proxy for proxy in word.proxies}
        assert roster.names >= {proxy.proxy for proxy in word.proxies if proxy.connected}


@given(st.lists(WORDS, max_size=12))
def test_reading_a_word_twice_is_reading_it_once(words: list[RouteChange]) -> None:
    made = fleet(*words)
    if words:
        assert made.read(words[-1], NOW) == made
    assert {proxy.proxy for proxy in made.picture("e1", NOW)} == made.roster.names
