"""Caps: the first so many have a place of their own."""

from streams.admission import Admission


def test_the_first_names_have_their_places_and_the_others_share_the_next() -> None:
    admission = Admission[str](2)
    assert [admission.place(name) for name in "abacbd"] == [0, 1, 0, 2, 1, 2]
    assert admission.names() == ["a", "b"]


def test_a_clients_own_name_for_the_others_takes_no_place() -> None:
    admission = Admission[str](2)
    assert [admission.place(name) for name in ("_other", "a", "b", "_other")] == [2, 0, 1, 2]
