"""Settings: arguments, then the environment, then a sentence that says what to do."""

import pytest

from davylamp_sdk._settings import Settings

ENVIRON = {
    "DAVYLAMP_SERVICE": "orders",
    "DAVYLAMP_VERSION": "v1",
    "DAVYLAMP_INSTANCE": "orders-7f",
    "DAVYLAMP_BOOTSTRAP": "kafka:9092",
    "DAVYLAMP_TELEMETRY_TOPIC": "mcp-requests.orders",
    "DAVYLAMP_KEY": "correct horse battery staple",
}


def test_the_environment_alone_is_enough() -> None:
    key = "correct horse battery staple"
    assert Settings.read({}, ENVIRON) == Settings("orders", "v1", "orders-7f", "kafka:9092", "mcp-requests.orders", key)


def test_an_argument_wins_over_the_environment_and_an_empty_one_does_not() -> None:
    settings = Settings.read({"version": "v2", "service": "", "instance": None}, ENVIRON)
    assert (settings.service, settings.version, settings.instance) == ("orders", "v2", "orders-7f")


def test_the_replica_is_the_host_and_the_topic_the_common_one_unless_told() -> None:
    settings = Settings.read({"service": "orders", "version": "v1"}, {})
    assert settings.instance
    assert settings.topic == "mcp-requests"


@pytest.mark.parametrize("field", ["service", "version"])
def test_a_missing_name_is_an_error_that_says_where_to_set_it(field: str) -> None:
    environ = {name: value for name, value in ENVIRON.items() if name != f"DAVYLAMP_{field.upper()}"}
    with pytest.raises(ValueError, match=rf"no {field}: pass {field}='\.\.\.' or set DAVYLAMP_{field.upper()}"):
        Settings.read({}, environ)


def test_a_name_that_no_event_could_hold_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="version has 121 characters"):
        Settings.read({"version": "v" * 121}, ENVIRON)


def test_no_kafka_is_an_error_only_for_who_needs_one() -> None:
    settings = Settings.read({"service": "orders", "version": "v1"}, {})
    assert settings.bootstrap is None
    with pytest.raises(ValueError, match="DAVYLAMP_BOOTSTRAP"):
        settings.require_bootstrap()
    assert Settings.read({}, ENVIRON).require_bootstrap() == "kafka:9092"


def test_the_key_is_in_no_text_that_might_be_logged() -> None:
    assert "horse" not in repr(Settings.read({}, ENVIRON))


def test_a_name_that_is_no_text_is_made_one_that_an_event_can_hold() -> None:
    assert Settings.read({"instance": "pod-\udcff"}, ENVIRON).instance == "pod-?"
