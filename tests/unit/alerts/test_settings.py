"""Who is told what, from the file and the environment, without a secret in any message."""

import json
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from alerts.__main__ import receivers
from alerts.cause import Limits
from alerts.causes import Causes
from alerts.settings import AlertsSettings
from tests.builders import entry
from tests.unit.alerts.fakes import says
from transport.settings import CONFIG_VARIABLE, SettingsError

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
"""On loading apprise's mail plugin."""

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRET = "mailto://ada:hunter2@mail.example"


def test_without_settings_the_log_is_told_everything_within_the_documented_limits() -> None:
    settings = AlertsSettings.load("alerts", {})
    assert asdict(settings.limits) == {
        "hold_too_long_s": 900,
        "drift_s": 10,
        "router_silent_s": 15,
        "proxies_unknown_s": 5,
        "blind_s": 120,
        "unreadable_s": 60,
        "repeat_s": 1800,
    }
    assert [(r.name, sorted(s)) for r, s in receivers(settings)] == [("log", ["info", "notice", "page"])]


@pytest.mark.parametrize("name", [limit.name for limit in fields(Limits)])
def test_each_limit_is_the_setting_of_its_name_and_moves_no_other(name: str) -> None:
    settings = AlertsSettings.load("alerts", {f"DAVYLAMP_ALERTS_{name.upper()}": "77"})
    assert asdict(settings.limits) == asdict(Limits()) | {name: 77.0}


def test_a_dead_judge_pages_after_the_two_minutes_that_are_documented() -> None:
    started = Causes(AlertsSettings.load("alerts", {}).limits).read_entry(entry("start"), 0, at_s=0.0)[0]
    heard = started.read_route(says(entry("start"), lb0="acknowledged"), at_s=119.0)
    assert [e.cause.kind for e in heard.look(119.0)[1]] == []
    assert [e.cause.kind for e in heard.look(120.0)[1]] == ["blind"]


def test_receivers_come_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "davylamp.toml"
    path.write_text(
        '[alerts]\nhold_too_long_s = 60\nstatus_url = "https://davylamp.example"\n'
        f'[[alerts.receivers]]\nurl = "{SECRET}"\nseverities = ["page"]\nname = "on-call"\n'
        '[[alerts.receivers]]\nurl = "json://127.0.0.1:9"\n',
        encoding="utf-8",
    )
    settings = AlertsSettings.load("alerts", {CONFIG_VARIABLE: str(path)})
    assert settings.limits.hold_too_long_s == 60
    found = {r.name: severities for r, severities in receivers(settings)}
    assert found.pop("on-call") == {"page"}
    assert [name.split("-")[0] for name in found] == ["log", "json"]


def test_receivers_come_from_the_environment_as_json() -> None:
    settings = AlertsSettings.load("alerts", {"DAVYLAMP_ALERTS_RECEIVERS": f'[{{"url": "{SECRET}"}}]'})
    assert settings.receivers[0].url.get_secret_value() == SECRET
    assert (
        settings.receivers[0].label
        == AlertsSettings.load("alerts", {"DAVYLAMP_ALERTS_RECEIVERS": f'[{{"url": "{SECRET}"}}]'}).receivers[0].label
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (SECRET, "write it as JSON"),
        (f'[{{"url": "{SECRET}", "to": "x"}}]', "receivers.0.to"),
        (f'[{{"url": "{SECRET}", "severities": ["loud"]}}]', "receivers.0.severities"),
        (f'[{{"url": "{SECRET}", "severities": []}}]', "receivers.0.severities"),
        (f'[{{"url": "{SECRET}"}}, {{"url": "{SECRET}"}}]', "there twice"),
        (f'[{{"url": "{SECRET}", "name": "log"}}]', "there twice"),
    ],
)
def test_what_is_not_understood_is_refused_by_name_and_without_the_secret(value: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        AlertsSettings.load("alerts", {"DAVYLAMP_ALERTS_RECEIVERS": value})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ({"url": "https://ci.example/hunter2"}, "webhooks.0.secret"),
        ({"url": "json://ci.example/hunter2", "secret": KEY}, "no URL of http or https"),
        ({"url": "https://ci.example", "secret": "hunter2"}, "no key of 24 to 64 bytes"),
        ({"url": "https://ci.example", "secret": "whsec_aHVudGVyMg=="}, "no key of 24 to 64 bytes"),
        ({"url": "https://ci.example", "secret": KEY, "name": "log"}, "there twice"),
    ],
)
def test_a_webhook_needs_a_url_and_a_key_and_a_refusal_names_neither(hook: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        AlertsSettings.load("alerts", {"DAVYLAMP_ALERTS_WEBHOOKS": json.dumps([hook])})
    assert not any(secret in str(refused.value) for secret in ("hunter2", "aHVudGVyMg", KEY))


def test_a_webhook_is_told_what_it_is_set_for(tmp_path: Path) -> None:
    path = tmp_path / "davylamp.toml"
    path.write_text(
        f'[[alerts.webhooks]]\nurl = "https://ci.example"\nsecret = "{KEY}"\nseverities = ["notice"]\nname = "ci"\n',
        encoding="utf-8",
    )
    settings = AlertsSettings.load("alerts", {CONFIG_VARIABLE: str(path)})
    assert [(r.name, sorted(s)) for r, s in receivers(settings)[1:]] == [("ci", ["notice"])]
    assert KEY not in repr(settings)


def test_a_url_that_apprise_does_not_know_is_refused_by_its_receivers_name() -> None:
    value = '[{"url": "nonsense://ada:hunter2@x", "name": "on-call"}]'
    settings = AlertsSettings.load("alerts", {"DAVYLAMP_ALERTS_RECEIVERS": value})
    with pytest.raises(SettingsError, match="receiver on-call") as refused:
        receivers(settings)
    assert "hunter2" not in str(refused.value)


def test_secrets_are_not_printed() -> None:
    settings = AlertsSettings.load("alerts", {"DAVYLAMP_ALERTS_RECEIVERS": f'[{{"url": "{SECRET}"}}]'})
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.receivers[0].label


def test_the_heartbeats_url_is_a_secret_and_must_be_one_of_http() -> None:
    settings = AlertsSettings.load("alerts", {"DAVYLAMP_ALERTS_HEARTBEAT_URL": "https://switch.example/hunter2"})
    assert settings.heartbeat_url is not None
    assert settings.heartbeat_url.get_secret_value() == "https://switch.example/hunter2"
    assert settings.heartbeat_interval_s == 60
    assert "hunter2" not in repr(settings)
    for value in ("switch.example/hunter2", "ftp://switch.example/hunter2", ""):
        with pytest.raises(SettingsError, match="no URL of http or https") as refused:
            AlertsSettings.load("alerts", {"DAVYLAMP_ALERTS_HEARTBEAT_URL": value})
        assert "hunter2" not in str(refused.value)
