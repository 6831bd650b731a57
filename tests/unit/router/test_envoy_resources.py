"""The snapshot in Envoy's words. That Envoy understands them so is for the integration tests."""

from dataclasses import replace
from typing import Any

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2  # noqa: F401 - stands in an Any
from google.protobuf.json_format import MessageToDict, ParseDict

from router.envoy_resources import HEADER_MUTATION, STATEFUL_SESSION, Json, clusters, route_configuration
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


def routes_of(route: ServiceRoute) -> list[Json]:
    return hosts_of(of(route))["*"]


def mutations(holder: Json, kind: str) -> dict[str, str]:
    listed = holder["typed_per_filter_config"][HEADER_MUTATION]["mutations"][f"{kind}_mutations"]
    return {m["append"]["header"]["key"]: m["append"]["header"]["value"] for m in listed}


def session_prefix(route: Json) -> str | None:
    (header,) = route["match"].get("headers", [{}])
    prefix: str | None = header.get("string_match", {}).get("prefix")
    return prefix


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


def test_living_pairs_come_before_baselines_and_those_before_strangers_and_new_sessions() -> None:
    prefixes = [session_prefix(route) for route in routes_of(orders())]
    assert prefixes == ["orders.v2~1.1.session.aa~", "orders.v1~1.1.session.bb~", "orders.v1~", None, None, None]
    stranger, _, newcomer = routes_of(orders())[-3:]
    assert stranger["direct_response"]["status"] == 404
    assert stranger["match"]["headers"] == [{"name": "mcp-session-id", "present_match": True}]
    assert "headers" not in newcomer["match"]


def test_a_session_keeps_its_version_label_and_id() -> None:
    canary, _, unlabelled, *_ = routes_of(orders())
    assert canary["route"] == {"cluster": "orders.v2", "timeout": "0s"}
    assert mutations(canary, "request")["x-davylamp-assignment"] == "1.1.session.aa;v2"
    assert mutations(canary, "request")["mcp-session-id"] == "%DYNAMIC_METADATA(davylamp:inner_id)%"
    assert mutations(canary, "response") == {"mcp-session-id": "%DYNAMIC_METADATA(davylamp:whole_id)%"}
    assert mutations(unlabelled, "request")["x-davylamp-assignment"] == "-;v1"


def test_a_new_session_is_born_with_the_label_of_the_version_that_was_drawn() -> None:
    newcomer = routes_of(orders())[-1]
    canary, baseline = newcomer["route"]["weighted_clusters"]["clusters"]
    assert newcomer["route"]["timeout"] == "0s"
    assert (canary["name"], canary["weight"]) == ("orders.v2", 100)
    assert (baseline["name"], baseline["weight"]) == ("orders.v1", 9_900)
    assert mutations(canary, "request") == {"x-davylamp-assignment": "1.1.session.aa;v2"}
    assert mutations(canary, "response") == {"mcp-session-id": "orders.v2~1.1.session.aa~%RESP(mcp-session-id)%"}


def test_a_request_that_begins_no_session_goes_to_the_baseline_and_is_not_judged() -> None:
    """By revision 2026-07-28 there are no sessions; drawn anew each time, a client would meet both versions."""
    unkeyed = routes_of(orders())[-2]
    assert unkeyed["match"]["headers"] == [{"name": "mcp-protocol-version", "present_match": True}]
    assert unkeyed["route"] == {"cluster": "orders.v1", "timeout": "0s"}
    assert mutations(unkeyed, "request") == {"x-davylamp-assignment": "-;v1"}


def test_every_way_to_a_server_overwrites_the_assignment() -> None:
    for route in routes_of(orders()):
        ways = route.get("route", {}).get("weighted_clusters", {}).get("clusters", [route])
        for way in ways:
            if "direct_response" in way:
                continue
            (mutation,) = [
                m["append"]
                for m in way["typed_per_filter_config"][HEADER_MUTATION]["mutations"]["request_mutations"]
                if m["append"]["header"]["key"] == "x-davylamp-assignment"
            ]
            assert mutation["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD"


def test_a_rehomed_session_goes_to_any_server_of_its_new_version() -> None:
    service = replace(orders(), pairs=(), rehomed=(Pair("v2", "1.1.session.aa"),), home="v1")
    rehomed, *_ = routes_of(service)
    assert session_prefix(rehomed) == "orders.v2~1.1.session.aa~"
    assert rehomed["route"] == {"cluster": "orders.v1", "timeout": "0s"}
    assert mutations(rehomed, "request")["x-davylamp-assignment"] == "-;v1"
    assert mutations(rehomed, "response") == {"mcp-session-id": "%DYNAMIC_METADATA(davylamp:whole_id)%"}
    envelope = rehomed["typed_per_filter_config"][STATEFUL_SESSION]["stateful_session"]
    assert envelope["strict"] is False


@pytest.mark.parametrize(
    ("path", "match"),
    [("/mcp", {"path_separated_prefix": "/mcp"}), ("/", {"prefix": "/"}), ("/a/", {"prefix": "/a/"})],
)
def test_a_path_covers_what_lies_below_it(path: str, match: Json) -> None:
    assert routes_of(orders(path=path))[-1]["match"] == match


def services_on(host: str, *routes: ServiceRoute) -> list[str]:
    newcomers = [r for r in hosts_of(of(*routes))[host] if "headers" not in r["match"]]
    return [r["route"]["weighted_clusters"]["clusters"][0]["name"].partition(".")[0] for r in newcomers]


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
    assert [len(host["routes"]) for host in parsed["virtual_hosts"]] == [6]
    assert [normal(Cluster(), c)["name"] for c in clusters(snapshot.clusters)] == ["orders.v1", "orders.v2"]


def test_the_same_snapshot_gives_the_same_words() -> None:
    assert route_configuration(of(orders())) == route_configuration(of(orders()))
    assert clusters(of(orders()).clusters) == clusters(of(orders()).clusters)
