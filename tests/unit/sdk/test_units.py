"""Units: the label says who is counted, and only hashes leave."""

import hashlib

import pytest
from starlette.datastructures import Headers

from davylamp_sdk._units import Units, header_of, kind_of, session_hash

KEY = "correct horse battery staple"
TOKEN = "Bearer 0123456789"
COOKIES = "a=b; mcp_canary=c00kie; other=mcp_canary"
NONCE = "0123456789abcdef"


def stamp(kind: str) -> str:
    return f"12.3.{kind}.{NONCE};v2"


def headers(**values: str) -> Headers:
    return Headers(values)


def unit(kind: str, *, key: str | None = KEY, session_id: str | None = None, **values: str) -> tuple[str, str | None]:
    return Units(key).of(stamp(kind), session_id, header_of(headers(**values)))


@pytest.mark.parametrize(
    ("assignment", "kind"),
    [
        (None, "session"),
        ("", "session"),
        ("-;v1", "session"),
        (stamp("session"), "session"),
        (stamp("cookie"), "cookie"),
        (stamp("principal"), "principal"),
        (stamp("invented"), "session"),
        ("principal", "session"),
    ],
)
def test_the_label_says_what_was_assigned(assignment: str | None, kind: str) -> None:
    assert kind_of(assignment) == kind


def test_a_session_is_known_by_the_hash_of_its_id() -> None:
    hashed = hashlib.blake2b(b"id-1", digest_size=16).hexdigest()
    assert unit("session", session_id="id-1", authorization=TOKEN) == ("session", hashed)
    assert session_hash("id-1") == hashed
    assert session_hash(None) is None


def test_a_principal_is_known_by_a_keyed_hash_of_its_authorization_whatever_session_it_uses() -> None:
    kind, hashed = unit("principal", session_id="id-1", authorization=TOKEN)
    assert kind == "principal"
    assert hashed is not None
    assert len(hashed) == 32
    assert hashed == unit("principal", authorization=TOKEN)[1]
    assert hashed != unit("principal", authorization=TOKEN + "0")[1]
    assert hashed != unit("principal", authorization=TOKEN, key=KEY + "!")[1]


def test_a_cookie_is_known_by_a_keyed_hash_of_its_value_among_the_others() -> None:
    kind, hashed = unit("cookie", cookie=COOKIES)
    assert kind == "cookie"
    assert hashed is not None
    assert hashed == unit("cookie", cookie="mcp_canary=c00kie")[1]
    assert hashed != unit("cookie", cookie="mcp_canary=c00kie2")[1]


@pytest.mark.parametrize("kind", ["principal", "cookie"])
def test_no_unkeyed_hash_of_a_secret_is_ever_made(kind: str) -> None:
    assert unit(kind, key=None, authorization=TOKEN, cookie=COOKIES) == (kind, None)
    keyed = unit(kind, authorization=TOKEN, cookie=COOKIES)[1]
    unkeyed = {hashlib.blake2b(said.encode(), digest_size=16).hexdigest() for said in (TOKEN, "c00kie", COOKIES)}
    assert keyed not in unkeyed


@pytest.mark.parametrize("kind", ["principal", "cookie", "session"])
def test_who_cannot_be_told_by_what_the_label_says_is_nobody(kind: str) -> None:
    assert unit(kind) == (kind, None)
    assert unit(kind, cookie="other=1", authorization="") == (kind, None)


def test_a_key_of_any_length_will_do_but_a_short_one() -> None:
    assert unit("principal", key="k" * 1_000, authorization=TOKEN)[1] is not None
    with pytest.raises(ValueError, match="key has 15 characters: make it 16 or more"):
        Units("k" * 15)


def test_a_header_is_found_whatever_its_case_and_whoever_keeps_it() -> None:
    for kept in (Headers({"X-A": "1"}), {"x-a": "1"}, {"X-A": "1"}):
        assert header_of(kept)("x-a") == "1"
        assert header_of(kept)("x-b") is None
    assert header_of(None)("x-a") is None
    assert header_of({"x-a": 1})("x-a") is None  # type: ignore[dict-item]


def test_an_id_that_is_no_utf_8_is_hashed_all_the_same() -> None:
    assert session_hash("\ud800") is not None
