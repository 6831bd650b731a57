"""A browser's session."""

from pathlib import Path

import pytest

from status.sessions import COOKIE, LASTS_S, Sessions, session_key
from status.tokens import Token, fingerprint
from transport.clock import FakeClock

ANNA = Token(name="anna+ops@example.com", role="operator", token_sha256=fingerprint(b"operate"))
DASH = Token(name="dash", role="viewer", token_sha256=fingerprint(b"view"))
KEY = b"k" * 32


def cookie(value: str) -> list[bytes]:
    return [f"theme=dark; {COOKIE}={value}; other=1".encode()]


def test_a_session_names_its_token() -> None:
    sessions = Sessions((ANNA, DASH), KEY, FakeClock())
    assert sessions.find(cookie(sessions.begin(ANNA))) == ANNA
    assert sessions.find(cookie(sessions.begin(DASH))) == DASH


def test_the_token_is_not_in_the_cookie() -> None:
    value = Sessions((ANNA,), KEY, FakeClock()).begin(ANNA)
    assert "operate" not in value
    assert ANNA.token_sha256 not in value


def test_it_ends_with_its_time() -> None:
    clock = FakeClock()
    sessions = Sessions((ANNA,), KEY, clock)
    value = sessions.begin(ANNA)
    clock.advance(LASTS_S - 1)
    assert sessions.find(cookie(value)) == ANNA
    clock.advance(1)
    assert sessions.find(cookie(value)) is None


@pytest.mark.parametrize(
    "tokens",
    [
        (DASH,),
        (Token(name=ANNA.name, role="operator", token_sha256=fingerprint(b"another")),),
        (Token(name=ANNA.name, role="viewer", token_sha256=ANNA.token_sha256),),
    ],
)
def test_it_ends_when_its_token_is_gone_or_changed(tokens: tuple[Token, ...]) -> None:
    value = Sessions((ANNA,), KEY, FakeClock()).begin(ANNA)
    assert Sessions(tokens, KEY, FakeClock()).find(cookie(value)) is None


def test_nobody_can_write_one() -> None:
    sessions = Sessions((ANNA, DASH), KEY, FakeClock())
    name, ends, signature = sessions.begin(DASH).split(".")
    other = sessions.begin(ANNA).split(".")[0]
    longer = str(int(ends) + 1)
    for forged in (
        f"{other}.{ends}.{signature}",
        f"{name}.{longer}.{signature}",
        f"{name}.{ends}.",
        f"{name}.{ends}",
        f"{name}.x.{signature}",
        f"{name}.²{ends}.{signature}",
        f"%.{ends}.{signature}",
        "",
    ):
        assert sessions.find(cookie(forged)) is None
    assert Sessions((ANNA, DASH), b"j" * 32, FakeClock()).find(cookie(sessions.begin(ANNA))) is None


def test_two_cookies_of_the_name_are_none() -> None:
    sessions = Sessions((ANNA, DASH), KEY, FakeClock())
    assert sessions.find(cookie(sessions.begin(DASH)) + cookie(sessions.begin(ANNA))) is None
    assert sessions.find([]) is None


def test_the_key_outlives_the_process_and_is_nobody_elses(tmp_path: Path) -> None:
    file = tmp_path / "status" / "session.key"
    key = session_key(file)
    assert session_key(file) == key
    assert len(key) >= 32
    assert file.stat().st_mode & 0o077 == 0


def test_a_key_that_cannot_be_kept_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert session_key(tmp_path / "file" / "session.key") != session_key(tmp_path / "file" / "session.key")
    assert session_key(None) != session_key(None)
    short = tmp_path / "short.key"
    short.write_bytes(b"short")
    assert len(session_key(short)) >= 32
