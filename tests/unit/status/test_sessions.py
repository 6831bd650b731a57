"""A browser's session."""

from pathlib import Path

import pytest

from status.sessions import COOKIE, KEY_FILE, LASTS_S, Sessions, kept_key, new_key, signing_key
from status.settings import StatusSettings
from status.tokens import Token, fingerprint
from transport.clock import FakeClock
from transport.settings import SettingsError

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


def settings(**environ: str) -> StatusSettings:
    return StatusSettings.load("status", environ)


def test_the_key_outlives_the_process_and_is_nobody_elses(tmp_path: Path) -> None:
    made = settings(DAVYLAMP_STATUS_DATA_FOLDER=str(tmp_path / "status"))
    key = signing_key(made)
    assert signing_key(made) == key
    assert len(key) >= 32
    assert (tmp_path / "status" / KEY_FILE).stat().st_mode & 0o077 == 0


def test_replicas_share_the_key_that_is_configured_and_write_none(tmp_path: Path) -> None:
    """Each with a disk of its own, or with none that can be written."""
    secret = "0123456789abcdef" * 2
    one, other = (
        Sessions(
            (ANNA,),
            signing_key(settings(DAVYLAMP_STATUS_SESSION_KEY=secret, DAVYLAMP_STATUS_DATA_FOLDER=folder)),
            FakeClock(),
        )
        for folder in (str(tmp_path / "one"), "/proc/nowhere")
    )
    assert other.find(cookie(one.begin(ANNA))) == ANNA
    assert list(tmp_path.iterdir()) == []


def test_a_configured_key_that_could_be_guessed_is_refused_and_not_printed() -> None:
    with pytest.raises(SettingsError, match="session_key") as refused:
        settings(DAVYLAMP_STATUS_SESSION_KEY="swordfish")
    assert "swordfish" not in str(refused.value)


def test_a_key_that_cannot_be_kept_is_a_new_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    assert kept_key(tmp_path / "file" / "deeper" / KEY_FILE) != kept_key(tmp_path / "file" / "deeper" / KEY_FILE)
    assert "session key not kept: set session_key" in caplog.text
    assert new_key() != new_key()
    short = tmp_path / "short.key"
    short.write_bytes(b"short")
    assert len(kept_key(short)) >= 32
