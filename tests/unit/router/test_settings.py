"""The table [router]."""

from pathlib import Path

import pytest

from router.settings import RouterSettings
from router.tls import MutualTls, ServerTls, certified, impostor
from transport.settings import SettingsError

FILES = {name: f"{name}.pem" for name in ("xds_cert", "xds_key", "xds_ca", "direct_cert", "direct_key")}


def load(**values: str) -> RouterSettings:
    return RouterSettings.load("router", {f"DAVYLAMP_ROUTER_{name.upper()}": value for name, value in values.items()})


def test_without_files_there_is_no_tls() -> None:
    assert load().xds_tls is None
    assert load().direct_tls is None


def test_with_its_files_each_port_has_tls() -> None:
    settings = load(**FILES)
    assert settings.xds_tls == MutualTls(ServerTls(Path("xds_cert.pem"), Path("xds_key.pem")), Path("xds_ca.pem"))
    assert settings.direct_tls == ServerTls(Path("direct_cert.pem"), Path("direct_key.pem"))


@pytest.mark.parametrize("missing", FILES)
def test_files_come_together_or_not_at_all(missing: str) -> None:
    with pytest.raises(SettingsError, match=f"belong together: {missing} is missing"):
        load(**{name: file for name, file in FILES.items() if name != missing})


AUTH = {
    "x509_common_name": [b"lb0"],
    "peer_dns": [b"lb0.example", b"other.example"],
    "peer_uri": [b"spiffe://x/lb0"],
    "peer_ip": [b"10.0.0.1"],
    "peer_email": [b"ops@example"],
}


def test_a_certificate_names_machines_and_workloads_not_addresses() -> None:
    assert certified(AUTH) == {"lb0", "lb0.example", "other.example", "spiffe://x/lb0"}
    assert certified({}) == frozenset()


@pytest.mark.parametrize("node", ["lb0", "lb0.example", "spiffe://x/lb0"])
def test_a_named_node_is_no_impostor(node: str) -> None:
    assert impostor(node, AUTH) is None


@pytest.mark.parametrize("node", ["", "lb1", "10.0.0.1", "ops@example", "lb0.EXAMPLE", "spiffe://x/"])
def test_whoever_is_not_named_is_told_which_names_there_are(node: str) -> None:
    told = impostor(node, AUTH)
    assert told is not None
    assert told.endswith("lb0, lb0.example, other.example, spiffe://x/lb0.")
    assert "none of the names" in (impostor(node, {}) or "")
