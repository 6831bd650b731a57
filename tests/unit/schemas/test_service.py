"""A service as a person writes it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from schemas.service import Service


def service(**changes: Any) -> Service:
    plain = {"service": "orders", "baseline": "v1", "versions": {"v1": {"endpoints": ["10.0.0.7:8000"]}}}
    return Service.model_validate({**plain, **changes})


def test_what_nobody_says_has_a_default() -> None:
    made = service()
    assert (made.path, made.hosts, made.telemetry) == ("/mcp", ("*",), "mcp-requests")
    assert made.assign == ("session", "principal")
    assert made.versions["v1"].eras == ("sessions", "stateless")


@pytest.mark.parametrize("place", [{"endpoints": ["10.0.0.7:80", "orders-b:80"]}, {"dns": "orders.mcp.svc:8000"}])
def test_a_version_listens_at_endpoints_or_behind_a_name(place: dict[str, Any]) -> None:
    assert service(versions={"v1": place}).versions["v1"].model_dump(include={*place}, mode="json") == place


@pytest.mark.parametrize("place", [{}, {"endpoints": ["a:1"], "dns": "b:2"}])
def test_but_not_at_both_or_nowhere(place: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="give either"):
        service(versions={"v1": place})


@pytest.mark.parametrize("endpoint", ["10.0.0.7", "10.0.0.7:", ":80", "10.0.0.7:0", "10.0.0.7:65536", "http://a:80"])
def test_an_endpoint_is_a_host_and_a_port(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="is not an endpoint; write it like"):
        service(versions={"v1": {"endpoints": [endpoint]}})


@pytest.mark.parametrize("host", ["*", "*.example.com", "orders.example.com", "ORDERS", "10.0.0.7"])
def test_a_host_is_a_name_or_a_wildcard(host: str) -> None:
    assert service(hosts=[host]).hosts == (host,)


@pytest.mark.parametrize("host", ["orders.example.com:8080", "*:80", "orders:*", "[::1]:80"])
def test_a_host_with_a_port_is_refused_because_no_proxy_would_ever_match_it(host: str) -> None:
    with pytest.raises(ValidationError, match="names a port; write the host alone"):
        service(hosts=[host])


@pytest.mark.parametrize("host", ["", "or*ders", "orders.*", "a b", "a/b", "*example.com"])
def test_other_strings_are_no_hosts(host: str) -> None:
    with pytest.raises(ValidationError, match="is not a host; write it like"):
        service(hosts=[host])


def test_kinds_are_a_set_which_has_one_spelling() -> None:
    assert service(assign=["principal", "cookie", "session"]) == service(assign=["session", "cookie", "principal"])


@pytest.mark.parametrize("assign", [[], ["session", "session"], ["request"]])
def test_a_service_assigns_by_known_kinds_and_each_once(assign: list[str]) -> None:
    with pytest.raises(ValidationError, match="assign"):
        service(assign=assign)


@pytest.mark.parametrize("eras", [[], ["stateless", "stateless"], ["2026-07-28"]])
def test_a_version_speaks_known_eras_and_each_once(eras: list[str]) -> None:
    with pytest.raises(ValidationError, match="eras"):
        service(versions={"v1": {"endpoints": ["a:1"], "eras": eras}})


def test_the_baseline_is_one_of_the_versions() -> None:
    with pytest.raises(ValidationError, match=r"baseline 'v2' is not among the versions \['v1'\]"):
        service(baseline="v2")


def test_the_file_that_the_documentation_shows_is_one() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "assignment.md"
    (shown,) = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert Service.model_validate(yaml.safe_load(shown)).versions["v1"].eras == ("sessions",)
