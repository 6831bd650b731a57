"""The table `[status]`: tokens, and where one may listen without them."""

from pathlib import Path

import pytest

from status.settings import StatusSettings
from status.tokens import fingerprint
from transport.settings import SettingsError

TABLE = f"""
[[status.tokens]]
name = "anna"
role = "operator"
token_sha256 = "{fingerprint(b"operate")}"
"""


def loaded(**environ: str) -> StatusSettings:
    return StatusSettings.load("status", environ)


def written(folder: Path, text: str) -> str:
    file = folder / "davylamp.toml"
    file.write_text(text)
    return str(file)


def test_it_listens_on_loopback_unless_told_otherwise() -> None:
    assert (loaded().host, loaded().tokens) == ("127.0.0.1", ())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_on_loopback_no_token_is_needed(host: str) -> None:
    assert loaded(DAVYLAMP_STATUS_HOST=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "status.example.com", ""])
def test_elsewhere_it_does_not_start_without_tokens_and_says_what_to_do(host: str) -> None:
    with pytest.raises(SettingsError, match=r"loopback only.*davylamp token new"):
        loaded(DAVYLAMP_STATUS_HOST=host)


def test_tokens_stand_in_the_settings_file_and_open_the_door_to_other_hosts(tmp_path: Path) -> None:
    settings = loaded(DAVYLAMP_CONFIG=written(tmp_path, TABLE), DAVYLAMP_STATUS_HOST="0.0.0.0")
    assert [(t.name, t.role) for t in settings.tokens] == [("anna", "operator")]


def test_tokens_may_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    assert loaded(DAVYLAMP_STATUS_TOKENS=written(tmp_path, TABLE)).tokens[0].name == "anna"


@pytest.mark.parametrize("text", ["", "[status]\ntokens = []\n", "[[tokens]]\nname = 'anna'\n", "= no toml"])
def test_a_file_of_tokens_without_tokens_does_not_leave_the_door_open(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"davylamp\.toml"):
        loaded(DAVYLAMP_STATUS_TOKENS=written(tmp_path, text))


def test_a_file_of_tokens_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml cannot be read"):
        loaded(DAVYLAMP_STATUS_TOKENS="nowhere.toml")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (TABLE + TABLE, "share a name or a hash"),
        (TABLE + TABLE.replace("anna", "bert"), "share a name or a hash"),
        (TABLE.replace("anna", "judge"), "take another name"),
        (TABLE.replace("operator", "root"), "viewer"),
        (TABLE.replace("token_sha256", "token"), "token_sha256"),
    ],
)
def test_tokens_that_cannot_be_told_apart_or_understood_are_refused(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=why):
        loaded(DAVYLAMP_CONFIG=written(tmp_path, text))
