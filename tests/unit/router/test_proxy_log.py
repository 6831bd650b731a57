"""A proxy's log of single requests as what it means for a version."""

import pytest

from router.proxy_log import logged
from schemas.control import FailureCause
from tests.unit.router.proxy_words import entry

LABEL = "1.2.session.0123456789abcdef"


def test_an_entry_tells_the_assignment_that_the_proxy_gave() -> None:
    one = logged(entry(f"{LABEL};v2", code=200, route="orders draws"))
    assert one is not None
    assert (one.service, one.version, one.label, one.draws) == ("orders", "v2", LABEL, True)
    assert (one.cause, one.ended) == (None, True)


def test_a_request_of_a_known_session_draws_nothing() -> None:
    one = logged(entry(f"{LABEL};v2", code=500))
    assert one is not None
    assert (one.service, one.draws) == ("orders", False)


@pytest.mark.parametrize(
    ("code", "flags", "cause"),
    [
        (503, ("upstream_connection_failure",), "refused"),
        (503, ("no_healthy_upstream",), "no_server"),
        (503, ("upstream_connection_termination",), "reset"),
        (200, ("upstream_protocol_error",), "reset"),
        (200, ("upstream_connection_termination",), "reset"),
        (503, ("upstream_remote_reset",), "reset"),
        (503, ("local_reset",), "reset"),
        (504, ("upstream_request_timeout",), "timeout"),
        (503, ("upstream_overflow",), "overflow"),
        (500, (), "status_5xx"),
        (0, ("downstream_connection_termination",), "abandoned"),
        (200, ("downstream_connection_termination",), None),
        (404, (), None),
        (200, (), None),
    ],
)
def test_a_request_failed_for_the_reason_that_the_proxy_gives(
    code: int, flags: tuple[str, ...], cause: FailureCause | None
) -> None:
    one = logged(entry(f"{LABEL};v2", code=code, flags=flags))
    assert one is not None
    assert one.cause == cause


def test_what_is_still_open_after_a_while_hangs() -> None:
    one = logged(entry(f"{LABEL};v2", ended=False))
    assert one is not None
    assert (one.cause, one.ended) == ("hung", False)


def test_what_is_open_has_an_answer_once_that_has_begun() -> None:
    silent, slow = (logged(entry(f"{LABEL};v2", ended=False, code=code)) for code in (0, 200))
    assert silent is not None
    assert slow is not None
    assert [(one.cause, one.answered) for one in (silent, slow)] == [("hung", False), ("hung", True)]


def test_entries_of_one_request_are_known_as_such_whatever_id_its_client_chose() -> None:
    first, again, other = (logged(entry(f"{LABEL};v2", request="mine", began=n)) for n in (1, 1, 2))
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.request == again.request != other.request


@pytest.mark.parametrize(("assignment", "route"), [("", "orders"), ("nonsense", "orders"), (f"{LABEL};v2", "")])
def test_what_is_about_no_version_of_a_service_is_left_out(assignment: str, route: str) -> None:
    assert logged(entry(assignment, route=route)) is None
