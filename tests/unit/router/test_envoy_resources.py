"""The snapshot in Envoy's words. That Envoy understands them so is for the integration tests."""

from typing import Any

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2  # noqa: F401 - stands in an Any
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: F401 - so does this
from google.protobuf.json_format import MessageToDict, ParseDict

from router.envoy_resources import clusters, route_configuration
from router.envoy_words import Json
from router.rollouts import Pair
from router.snapshot import ServiceRoute, Snapshot, Weight
from schemas.service import Version

V1, V2 = Version(endpoints=("127.0.0.1:8001", "127.0.0.1:8002")), Version(dns="orders-v2.mcp.svc:8000")


def orders(service: str = "orders", path: str = "/mcp", hosts: tuple[str, ...] = ("*",)) -> ServiceRoute:
    return ServiceRoute(
        service=service,
        entry="e1",
        path=path,
        hosts=hosts,
        versions={"v1": V1, "v2": V2},
        weights=(Weight("v2", "1.1.session.aa", 100), Weight("v1", "1.1.session.bb", 9_900)),
        pairs=(Pair("v2", "1.1.session.aa"), Pair("v1", "1.1.session.bb")),
        unlabelled=("v1",),
        home="v1",
    )


def of(*routes: ServiceRoute) -> Snapshot:
    return Snapshot("1", "1", {route.service: route for route in routes})


def hosts_of(snapshot: Snapshot) -> dict[str, list[Json]]:
    return {host["name"]: host["routes"] for host in route_configuration(snapshot)["virtual_hosts"]}


def test_a_version_is_a_cluster_whose_endpoint_changes_come_into_force_at_once() -> None:
    first, _ = clusters(of(orders()).clusters)
    assert first["name"] == "orders.v1"
    assert first["type"] == "STATIC"
    assert first["common_lb_config"]["update_merge_window"] == "0s"
    assert first["connect_timeout"] == "1s"
    (group,) = first["load_assignment"]["endpoints"]
    ports = [e["endpoint"]["address"]["socket_address"]["port_value"] for e in group["lb_endpoints"]]
    assert ports == [8001, 8002]


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        (Version(endpoints=("10.0.0.7:80",)), "STATIC"),
        (Version(endpoints=("10.0.0.7:80", "server-b:80")), "STRICT_DNS"),
        (Version(dns="orders-v2.mcp.svc:8000"), "STRICT_DNS"),
    ],
)
def test_only_addresses_need_no_resolver(version: Version, kind: str) -> None:
    route = ServiceRoute("orders", "", "/mcp", ("*",), {"v1": version}, (), (), ())
    assert [c["type"] for c in clusters(of(route).clusters)] == [kind]


def services_on(host: str, *routes: ServiceRoute) -> list[str]:
    """Whose the last routes are: those of requests that nobody can be known by."""
    made = hosts_of(of(*routes))[host]
    last = [r for r in made if "headers" not in r["match"] and "/messages/" not in str(r["match"])]
    return [r["route"]["weighted_clusters"]["clusters"][0]["name"].partition(".")[0] for r in last]


def test_services_share_one_configuration_with_a_virtual_host_a_host_name() -> None:
    a, b = orders("a", "/a", ("a.example", "B.example")), orders("b", "/b", ("b.example",))
    assert list(hosts_of(of(a, b))) == ["a.example", "b.example"]
    assert services_on("a.example", a, b) == ["a"]
    assert services_on("b.example", a, b) == ["a", "b"]


def test_the_longer_path_is_asked_first() -> None:
    assert services_on("*", orders("a", "/mcp"), orders("b", "/mcp/admin")) == ["b", "a"]


def test_a_host_also_serves_what_its_wildcards_serve_after_its_own() -> None:
    wide, sub, own = orders("a", hosts=("*",)), orders("b", hosts=("*.example",)), orders("c", hosts=("x.example",))
    assert services_on("x.example", wide, sub, own) == ["c", "a", "b"]
    assert services_on("*.example", wide, sub, own) == ["b", "a"]
    assert services_on("*", wide, sub, own) == ["a"]
    assert services_on("x.example", orders("d", hosts=("x.*",)), own) == ["c", "d"]


def normal(message: Any, json: Json) -> Any:
    return MessageToDict(ParseDict(json, message), preserving_proto_field_name=True)


def test_envoys_own_messages_take_every_field() -> None:
    snapshot = of(orders())
    parsed = normal(RouteConfiguration(), route_configuration(snapshot))
    assert [len(host["routes"]) for host in parsed["virtual_hosts"]] == [7]
    assert [normal(Cluster(), c)["name"] for c in clusters(snapshot.clusters)] == ["orders.v1", "orders.v2"]


def test_the_same_snapshot_gives_the_same_words() -> None:
    assert route_configuration(of(orders())) == route_configuration(of(orders()))
    assert clusters(of(orders()).clusters) == clusters(of(orders()).clusters)


def test_connections_to_servers_end_before_servers_end_them_and_are_as_many_as_sessions_need() -> None:
    (cluster,) = clusters({"orders.v1": V1})
    (options,) = cluster["typed_extension_protocol_options"].values()
    assert options["common_http_protocol_options"] == {"idle_timeout": "4s"}  # uvicorn and Node wait five
    (limits,) = cluster["circuit_breakers"]["thresholds"]
    assert set(limits.values()) == {2**32 - 1}
