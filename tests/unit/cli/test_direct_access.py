"""The direct port of `davylamp up`: nobody has to set anything, and nobody else may read how."""

from pathlib import Path

import pytest

from cli.direct_access import direct_access
from cli.routers import DirectSettings
from router.settings import RouterSettings


@pytest.fixture(autouse=True)
def _without_a_token_of_anybodys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DAVYLAMP_CONFIG", "DAVYLAMP_ROUTER_DIRECT_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_the_router_and_who_rolls_back_know_the_same_token(tmp_path: Path) -> None:
    access = direct_access(tmp_path / "new", 18001)
    assert access is not None
    router = RouterSettings.load("router", access.router_environment)
    person = DirectSettings.load("direct", {"DAVYLAMP_CONFIG": str(access.file)})
    assert router.direct_token is not None
    assert person.token == router.direct_token
    assert person.routers == (f"http://127.0.0.1:{router.direct_port}",)
    assert f"DAVYLAMP_CONFIG={access.file} davylamp rollback" in access.command


def test_only_its_owner_may_read_the_token(tmp_path: Path) -> None:
    access = direct_access(tmp_path, 18001)
    assert access is not None
    assert access.file.stat().st_mode & 0o777 == 0o600


def test_the_token_outlives_a_restart_and_the_port_may_change(tmp_path: Path) -> None:
    first, second = direct_access(tmp_path, 18001), direct_access(tmp_path, 18002)
    assert first is not None
    assert second is not None
    assert second.token == first.token
    assert "18002" in second.file.read_text()


@pytest.mark.parametrize("text", ["[direct", "[direct]\n", "[direct]\ntoken = 3\n", ""])
def test_of_a_file_that_is_torn_nothing_is_kept(tmp_path: Path, text: str) -> None:
    (tmp_path / "direct.toml").write_text(text)
    access = direct_access(tmp_path, 18001)
    assert access is not None
    assert DirectSettings.load("direct", {"DAVYLAMP_CONFIG": str(access.file)}).token is not None


def test_a_token_of_the_settings_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAVYLAMP_ROUTER_DIRECT_TOKEN", "0123456789abcdef")
    assert direct_access(tmp_path, 18001) is None
    assert not list(tmp_path.iterdir())
