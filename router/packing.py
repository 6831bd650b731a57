"""A snapshot as the protobuf messages that go over xDS."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2  # noqa: F401 - these stand in an Any
from envoy.extensions.filters.http.stateful_session.v3 import stateful_session_pb2  # noqa: F401
from envoy.extensions.http.stateful_session.envelope.v3 import envelope_pb2  # noqa: F401
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: F401
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.json_format import ParseDict

from router import envoy_resources
from router.envoy_words import TYPES
from router.xds_stream import Push, Resource

TYPE_URLS: dict[Resource, str] = {
    "clusters": f"{TYPES}{Cluster.DESCRIPTOR.full_name}",
    "routes": f"{TYPES}{RouteConfiguration.DESCRIPTOR.full_name}",
}
RESOURCES: dict[str, Resource] = {url: resource for resource, url in TYPE_URLS.items()}

_KEPT = 4
"""What most proxies are sent is the same; a few that refused an edit, or still need a cluster, are sent something else."""


class Packer:
    """Makes responses; what was packed last is not packed again for the next proxy."""

    def __init__(self) -> None:
        self._packed: deque[tuple[object, Sequence[Packed]]] = deque(maxlen=_KEPT)

    def response(self, push: Push) -> Any:
        """The `DiscoveryResponse` of a push."""
        if push.resource == "clusters":
            version = push.snapshot.clusters_version
            resources = self._once(("clusters", push.clusters), lambda: _clusters(push))
        else:
            version = push.snapshot.version
            resources = self._once(("routes", push.snapshot.routes), lambda: _routes(push))
        return DiscoveryResponse(
            version_info=version, type_url=TYPE_URLS[push.resource], nonce=push.nonce, resources=resources
        )

    def _once(self, content: object, pack: Callable[[], list[Packed]]) -> Sequence[Packed]:
        known = next((packed for of, packed in self._packed if of == content), None)
        if known is not None:
            return known
        packed = pack()
        self._packed.appendleft((content, packed))
        return packed


def _clusters(push: Push) -> list[Packed]:
    return [_any(ParseDict(c, Cluster())) for c in envoy_resources.clusters(push.clusters)]


def _routes(push: Push) -> list[Packed]:
    return [_any(ParseDict(envoy_resources.route_configuration(push.snapshot), RouteConfiguration()))]


def _any(message: Any) -> Packed:
    packed = Packed()
    packed.Pack(message)
    return packed
