"""What a router tells Prometheus: which share is wanted, and which one each proxy gives."""

from collections.abc import Iterator
from typing import Literal, get_args

from router.agent import Router
from schemas.control import ProxyRoute
from schemas.units import FULL_SHARE
from transport.exposition import Family, Said, text

MetricName = Literal[
    "davylamp_router_serving",  # Gauge: 1 while proxies are served, else 0
    "davylamp_router_log_away_seconds",  # Gauge: how long the log has not answered
    "davylamp_router_latched",  # Gauge: rollbacks that were said to this router directly, and that the ledger does not hold yet
    "davylamp_router_share_desired_ratio",  # Gauge by service, 0 to 1: share of new sessions that the canary should get
    "davylamp_router_share_observed_ratio",  # Gauge by service and proxy, 0 to 1: the share in the route that it said it runs
    "davylamp_router_proxies",  # Gauge by service and state: proxies that this router knows
]

METRICS: dict[MetricName, Family] = {
    "davylamp_router_serving": ("gauge", "1 while this router serves proxies, else 0: they keep their routes."),
    "davylamp_router_log_away_seconds": ("gauge", "How long the log has not answered the router."),
    "davylamp_router_latched": (
        "gauge",
        "Rollbacks that were said to this router directly, and that the ledger does not hold yet.",
    ),
    "davylamp_router_share_desired_ratio": (
        "gauge",
        "Share of new sessions that a service's canary should get, 0 to 1.",
    ),
    "davylamp_router_share_observed_ratio": (
        "gauge",
        "The share in the route that a proxy acknowledged last, 0 to 1; missing where this router did not ask for that route.",
    ),
    "davylamp_router_proxies": ("gauge", "Proxies that this router knows, by what they say of the newest route."),
}

_STATES = get_args(ProxyRoute.model_fields["state"].annotation)


def render(router: Router) -> str:
    """As it stands."""
    return text(METRICS, _said(router))


def _said(router: Router) -> Iterator[Said]:
    yield "davylamp_router_serving", (), float(router.serving)
    yield "davylamp_router_log_away_seconds", (), router.away_s
    yield "davylamp_router_latched", (), router.latched
    for service, share in sorted(router.shares().items()):
        of_service = ("service", service)
        yield "davylamp_router_share_desired_ratio", (of_service,), share / FULL_SHARE
        proxies = router.observe(service)
        for proxy in proxies:
            observed = share if proxy.state == "acknowledged" else router.share_of(proxy.version, service)
            if observed is not None:
                yield (
                    "davylamp_router_share_observed_ratio",
                    (of_service, ("proxy", proxy.proxy)),
                    observed / FULL_SHARE,
                )
        for state in _STATES:
            n = sum(proxy.state == state for proxy in proxies)
            yield "davylamp_router_proxies", (of_service, ("state", state)), n
