"""The port for Prometheus: what it answers, and that nobody who asks can harm the service."""

import socket
import urllib.request
from collections.abc import Iterator
from urllib.error import HTTPError

import pytest

from transport.metrics_port import MetricsPort, MetricsSettings, open_metrics
from transport.settings import SettingsError


class BrokenError(Exception):
    """Of a test."""


def told() -> str:
    return "a 1\n"


def fails() -> str:
    raise BrokenError


@pytest.fixture
def port() -> Iterator[MetricsPort]:
    opened = MetricsPort("127.0.0.1", 0, told)
    yield opened
    opened.close()


def asked(port: MetricsPort, path: str = "/metrics") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port.server_port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, ""


def test_it_tells_what_holds_when_it_is_asked(port: MetricsPort) -> None:
    assert asked(port) == (200, "a 1\n")
    port.render = lambda: "a 2\n"
    assert asked(port, "/metrics?x=1") == (200, "a 2\n")
    assert asked(port, "/")[0] == 404


def test_what_cannot_be_told_is_an_error_for_whoever_asks_and_for_nobody_else(port: MetricsPort) -> None:
    port.render = fails
    assert asked(port)[0] == 500
    port.render = told
    assert asked(port)[0] == 200


def test_who_says_nothing_holds_up_nobody(port: MetricsPort) -> None:
    with socket.create_connection(("127.0.0.1", port.server_port)):
        assert asked(port)[0] == 200


def test_it_is_closed_unless_a_port_is_set_and_a_taken_one_is_told_by_its_setting(port: MetricsPort) -> None:
    assert open_metrics(MetricsSettings(), "judge", told) is None
    with pytest.raises(SettingsError, match=rf"^\[judge\] metrics_port: 127\.0\.0\.1:{port.server_port} cannot be"):
        open_metrics(MetricsSettings(metrics_port=port.server_port), "judge", told)
