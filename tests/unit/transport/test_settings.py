"""Settings come from a file and the environment; what is not understood is refused by name."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from transport.faust_app import credentials
from transport.settings import CONFIG_VARIABLE, TABLES, KafkaSettings, Settings, SettingsError


class WindowSettings(Settings):
    window_s: int = 5
    label: str = "-"


def config(folder: Path, text: str) -> dict[str, str]:
    path = folder / "davylamp.toml"
    path.write_text(text, encoding="utf-8")
    return {CONFIG_VARIABLE: str(path)}


def test_without_a_file_and_variables_the_defaults_hold() -> None:
    assert WindowSettings.load("streams", {}) == WindowSettings(window_s=5, label="-")


def test_a_table_of_the_file_is_read(tmp_path: Path) -> None:
    environ = config(tmp_path, "[streams]\nwindow_s = 10\n[judge]\nwindow_s = 20\n")
    assert WindowSettings.load("streams", environ).window_s == 10
    assert WindowSettings.load("judge", environ).window_s == 20
    assert WindowSettings.load("router", environ).window_s == 5


def test_the_environment_overrules_the_file_key_by_key(tmp_path: Path) -> None:
    environ = config(tmp_path, '[streams]\nwindow_s = 10\nlabel = "file"\n')
    loaded = WindowSettings.load("streams", environ | {"DAVYLAMP_STREAMS_WINDOW_S": "7"})
    assert loaded == WindowSettings(window_s=7, label="file")


def test_another_services_variables_are_not_read() -> None:
    environ = {"DAVYLAMP_JUDGE_WINDOW_S": "7", "WINDOW_S": "9"}
    assert WindowSettings.load("streams", environ).window_s == 5


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    monkeypatch.setenv("DAVYLAMP_STREAMS_LABEL", "mine")
    assert WindowSettings.load("streams").label == "mine"


def test_an_unknown_key_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"\[streams\] windows: .*DAVYLAMP_STREAMS_"):
        WindowSettings.load("streams", config(tmp_path, "[streams]\nwindows = 10\n"))


def test_an_unknown_variable_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"\[streams\] windos_s: "):
        WindowSettings.load("streams", {"DAVYLAMP_STREAMS_WINDOS_S": "7"})


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DAVYLAMP_STREAM_WINDOW_S", "; did you mean DAVYLAMP_STREAMS_WINDOW_S?"),
        ("DAVYLAMP_KAKFA_BOOTSTRAP", "; did you mean DAVYLAMP_KAFKA_BOOTSTRAP?"),
        ("DAVYLAMP_OTLP_BRIDGE_TOPIC", "; did you mean DAVYLAMP_OTEL_BRIDGE_TOPIC?"),
        ("DAVYLAMP_TOKENS", "; did you mean DAVYLAMP_TOKEN?"),
    ],
)
def test_a_variable_that_no_service_has_is_refused_with_what_was_meant(name: str, meant: str) -> None:
    with pytest.raises(SettingsError) as raised:
        WindowSettings.load("judge", {name: "7"})
    assert str(raised.value) == f"{name} is no setting of davylamp's{meant}"


@pytest.mark.parametrize(
    ("table", "meant"),
    [("kafkaa", "did you mean kafka?"), ("alert", "did you mean alerts?"), ("xyz", "known are alerts, ")],
)
def test_a_table_that_no_service_has_is_refused_with_what_was_meant(tmp_path: Path, table: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=rf"^\[{table}\] is no table of davylamp's; {re.escape(meant)}"):
        WindowSettings.load("streams", config(tmp_path, f"[{table}]\nkey = 1\n"))


def test_what_belongs_to_others_is_not_refused(tmp_path: Path) -> None:
    others = {"DAVYLAMP_TOKEN": "x", "DAVYLAMP_URL": "x", "DAVYLAMP_SERVICE": "orders", "DAVYLAMP_KEY": "x"}
    links = {
        "DAVYLAMP_SERVICE_HOST": "10.0.0.1",
        "DAVYLAMP_PAGE_SERVICE_PORT_HTTP": "80",
        "DAVYLAMP_PAGE_PORT": "tcp://10.0.0.1:80",
        "DAVYLAMP_PAGE_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    environ = config(tmp_path, "".join(f"[{table}]\n" for table in TABLES)) | others | links
    assert WindowSettings.load("streams", environ).window_s == 5
    with pytest.raises(SettingsError, match="DAVYLAMP_PAGE_PORT"):
        WindowSettings.load("streams", {"DAVYLAMP_PAGE_PORT": "80"})


def test_whoever_needs_one_table_alone_is_not_refused_for_another(tmp_path: Path) -> None:
    environ = config(tmp_path, "[strems]\n[streams]\nwindow_s = 10\n") | {"DAVYLAMP_STREAM_WINDOW_S": "7"}
    assert WindowSettings.load("streams", environ, alone=True).window_s == 10


@pytest.mark.parametrize("text", ["streams = 1", 'streams = "x"', "[[streams]]"])
def test_a_value_in_place_of_a_table_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"is no table: write \[streams\]"):
        WindowSettings.load("streams", config(tmp_path, text))


def test_every_wrong_value_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        KafkaSettings.load("kafka", {"DAVYLAMP_KAFKA_CONTROL_PARTITIONS": "0", "DAVYLAMP_KAFKA_BOOTSTRAPS": "x"})
    assert "control_partitions: " in str(raised.value)
    assert "bootstraps: " in str(raised.value)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        KafkaSettings().bootstrap = "elsewhere:9092"


def test_librdkafka_gets_the_brokers_and_the_clients_name() -> None:
    got = KafkaSettings(bootstrap="a:1,b:2").librdkafka("judge")
    assert (got["bootstrap.servers"], got["client.id"]) == ("a:1,b:2", "judge")


def test_faust_gets_every_broker_as_a_url() -> None:
    assert KafkaSettings(bootstrap="a:1, b:2").faust_broker() == "kafka://a:1;kafka://b:2"


@pytest.mark.parametrize("text", [None, "window_s ="])
def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "davylamp.toml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"davylamp\.toml"):
        WindowSettings.load("streams", {CONFIG_VARIABLE: str(path)})


def test_a_log_in_is_told_in_librdkafkas_words_and_the_password_is_not_shown() -> None:
    named = {"sasl_username": "judge", "sasl_password": "secret"}
    found = KafkaSettings.model_validate({"security_protocol": "SASL_PLAINTEXT", **named})
    assert found.librdkafka_security() == {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "judge",
        "sasl.password": "secret",
    }
    assert "secret" not in repr(found)
    assert KafkaSettings().librdkafka_security() == {}


def test_certificates_are_told_only_where_the_connection_is_encrypted(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).touch()
    files = {f"ssl_{name}": tmp_path / name for name in ("ca", "cert", "key")}
    found = KafkaSettings.model_validate({"security_protocol": "SSL", **files})
    assert found.librdkafka_security() == {
        "security.protocol": "SSL",
        "ssl.ca.location": str(tmp_path / "ca"),
        "ssl.certificate.location": str(tmp_path / "cert"),
        "ssl.key.location": str(tmp_path / "key"),
    }
    assert KafkaSettings.model_validate(files).librdkafka_security() == {}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"security_protocol": "SASL_SSL"}, "sasl_username and sasl_password"),
        ({"ssl_key": __file__}, "belong together"),
        ({"ssl_ca": "/nowhere/ca.pem"}, "ssl_ca"),
    ],
)
def test_half_a_log_in_is_refused(values: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        KafkaSettings.load("kafka", {f"DAVYLAMP_KAFKA_{key.upper()}": value for key, value in values.items()})


def test_faust_logs_in_by_the_same_name() -> None:
    named = {"sasl_username": "judge", "sasl_password": "secret"}
    found = credentials(KafkaSettings.model_validate({"security_protocol": "SASL_SSL", **named}))
    assert (found.username, found.password, found.mechanism.value) == ("judge", "secret", "SCRAM-SHA-512")
    assert found.protocol.value == "SASL_SSL"
    assert credentials(KafkaSettings()) is None
