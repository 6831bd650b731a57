"""Tool names: only the server's own words become names of metrics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from davylamp_sdk._tools import MAX_LEARNED, ToolNames


def test_a_name_is_unknown_until_the_server_lists_it() -> None:
    names = ToolNames()
    assert names.spoken("search") == "_unknown"
    names.learn(["search", "buy"])
    assert names.spoken("search") == "search"
    assert names.spoken("searching") == "_unknown"


def test_later_pages_add_to_earlier_ones() -> None:
    names = ToolNames()
    names.learn(["a"])
    names.learn(["b"])
    assert [names.spoken(name) for name in "abc"] == ["a", "b", "_unknown"]


def test_given_names_are_final_whatever_is_listed() -> None:
    names = ToolNames({"search"})
    names.learn(["buy"])
    assert [names.spoken("search"), names.spoken("buy")] == ["search", "_unknown"]


def test_a_live_container_is_asked_anew_each_time() -> None:
    registry: dict[str, object] = {}
    names = ToolNames(registry.keys())
    assert names.spoken("search") == "_unknown"
    registry["search"] = object()
    assert names.spoken("search") == "search"


def test_a_predicate_decides() -> None:
    names = ToolNames(lambda name: name.startswith("get_"))
    assert [names.spoken("get_x"), names.spoken("set_x")] == ["get_x", "_unknown"]


def test_one_string_is_no_container_of_names() -> None:
    with pytest.raises(TypeError, match="pass a set of names"):
        ToolNames("search")


@pytest.mark.parametrize("odd", [None, 7, ["search"], {"name": "search"}, "", "s" * 121])
def test_what_is_no_name_or_fits_no_event_is_unknown(odd: object) -> None:
    names = ToolNames(lambda _name: True)
    assert names.spoken(odd) == "_unknown"


def test_an_endless_listing_is_learned_only_so_far() -> None:
    names = ToolNames()
    names.learn(str(n) for n in range(MAX_LEARNED + 5))
    assert names.spoken(str(MAX_LEARNED - 1)) == str(MAX_LEARNED - 1)
    assert names.spoken(str(MAX_LEARNED)) == "_unknown"


@given(listed=st.lists(st.one_of(st.text(max_size=130), st.integers(), st.none())), asked=st.text(max_size=130))
def test_no_client_makes_a_name(listed: list[object], asked: str) -> None:
    names = ToolNames()
    names.learn(listed)
    assert names.spoken(asked) == "_unknown" or asked in listed
