"""A router with a fault of ours: what it makes of services on `broken.example` Envoy refuses.

Service files that Envoy would refuse are refused by the schema, so it takes a fault of ours to get there.
"""

import runpy
from collections.abc import Callable
from unittest import mock

from router import envoy_resources
from router.envoy_words import Json
from router.snapshot import Snapshot

BROKEN_HOST = "broken.example"


Make = Callable[[Snapshot], Json]


def breaking(right: Make) -> Make:
    """The same route configuration, with a domain twice if any service is on the broken host."""

    def wrong(snapshot: Snapshot) -> Json:
        made = right(snapshot)
        if any(BROKEN_HOST in route.hosts for route in snapshot.routes.values()):
            made["virtual_hosts"].append({"name": "again", "domains": [BROKEN_HOST]})
        return made

    return wrong


if __name__ == "__main__":
    with mock.patch.object(envoy_resources, "route_configuration", breaking(envoy_resources.route_configuration)):
        runpy.run_module("router", run_name="__main__")
