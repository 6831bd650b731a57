"""Several routers' words about the same proxies become one picture."""

import pytest

from alerts.picture import Voice, in_force, picture
from tests.unit.alerts.fakes import says

ENTRY = "e1"


def states(*voices: Voice, now_s: float = 10) -> dict[str, str]:
    return {p.proxy: p.state for p in picture(voices, names(*voices), ENTRY, now_s, silent_s=5)}


def names(*voices: Voice) -> set[str]:
    return {proxy.proxy for voice in voices for proxy in voice.change.proxies}


def test_a_lone_router_is_believed_even_when_it_is_silent() -> None:
    assert states(Voice(says(ENTRY, lb0="acknowledged"), 0), now_s=1000) == {"lb0": "acknowledged"}


def test_an_acknowledgement_of_another_entry_is_none_of_this_one() -> None:
    assert states(Voice(says("e0", lb0="acknowledged", lb1="rejected: no"), 9)) == {"lb0": "pending", "lb1": "rejected"}


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("acknowledged", "pending", "acknowledged"),
        ("acknowledged", "rejected: no", "acknowledged"),
        ("rejected: no", "pending", "rejected"),
        ("pending", "pending", "pending"),
    ],
)
def test_of_two_routers_the_one_that_the_proxy_talks_to_is_right(one: str, other: str, together: str) -> None:
    said = Voice(says(ENTRY, lb0=one), 9), Voice(says(ENTRY, router="r2", lb0=other), 9)
    assert states(*said) == states(*reversed(said)) == {"lb0": together}


def test_what_only_a_silent_router_vouches_for_is_unknown() -> None:
    silent, speaking = Voice(says(ENTRY, lb0="acknowledged"), 0), Voice(says(ENTRY, router="r2", lb1="acknowledged"), 9)
    assert states(silent, speaking) == {"lb0": "pending", "lb1": "acknowledged"}


def test_a_router_owes_no_picture_of_a_rollout_that_cannot_rise() -> None:
    resting = says(ENTRY, lb0="acknowledged").model_copy(update={"live": False})
    assert states(Voice(resting, 0), Voice(says(ENTRY, router="r2", lb1="acknowledged"), 9)) == {
        "lb0": "acknowledged",
        "lb1": "acknowledged",
    }


def test_without_a_proxy_nothing_is_in_force() -> None:
    assert not in_force(picture([], [], ENTRY, 0, 5))
    assert in_force(picture([Voice(says(ENTRY, lb0="acknowledged"), 0)], ["lb0"], ENTRY, 0, 5))
    assert not in_force(
        picture([Voice(says(ENTRY, lb0="acknowledged", lb1="pending"), 0)], ["lb0", "lb1"], ENTRY, 0, 5)
    )


def test_a_proxy_that_nobody_names_any_more_is_unknown_until_it_is_forgotten() -> None:
    said = [Voice(says(ENTRY, lb0="acknowledged"), 0)]
    assert [(p.proxy, p.state) for p in picture(said, ["lb0", "lb1"], ENTRY, 0, 5)] == [
        ("lb0", "acknowledged"),
        ("lb1", "pending"),
    ]
    assert [p.proxy for p in picture(said, ["lb1"], ENTRY, 0, 5)] == ["lb1"]
