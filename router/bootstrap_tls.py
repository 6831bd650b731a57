"""How an Envoy proves to the routers who it is, and makes sure who they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from router.envoy_words import TYPES, Json


@dataclass(frozen=True, slots=True)
class ProxyTls:
    """PEM files, as the proxy finds them: its own certificate names its node id (CN, or SAN: DNS, URI)."""

    cert: str
    key: str
    ca: str
    """Who signs the routers' certificates."""


def transport_socket(tls: ProxyTls, routers: Sequence[str]) -> Json:
    """mTLS to `routers` (``host:port``): a router's certificate must name one of their hosts."""
    context = {
        "alpn_protocols": ["h2"],
        "tls_certificates": [{"certificate_chain": {"filename": tls.cert}, "private_key": {"filename": tls.key}}],
        "validation_context": {
            "trusted_ca": {"filename": tls.ca},
            "match_typed_subject_alt_names": [_named(router.rpartition(":")[0]) for router in routers],
        },
    }
    kind = f"{TYPES}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": kind, "common_tls_context": context},
    }


def _named(host: str) -> Json:
    return {"san_type": _san_type(host), "matcher": {"exact": host}}


def _san_type(host: str) -> str:
    try:
        ip_address(host)
    except ValueError:
        return "DNS"
    return "IP_ADDRESS"
