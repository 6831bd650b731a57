"""What an Envoy is started with."""

import json
import re
from typing import Any

import pytest
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.extensions.access_loggers.grpc.v3 import als_pb2  # noqa: F401 - these stand in Anys
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2  # noqa: F401
from envoy.extensions.filters.http.header_to_metadata.v3 import header_to_metadata_pb2  # noqa: F401
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401
from envoy.extensions.filters.http.stateful_session.v3 import stateful_session_pb2  # noqa: F401
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2  # noqa: F401
from envoy.extensions.http.stateful_session.envelope.v3 import envelope_pb2  # noqa: F401
from envoy.extensions.matching.common_inputs.stats.v3 import stats_pb2  # noqa: F401
from envoy.extensions.stat_sinks.open_telemetry.v3 import open_telemetry_pb2  # noqa: F401
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2  # noqa: F401
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: F401
from google.protobuf.json_format import ParseDict

from router.bootstrap import bootstrap
from router.bootstrap_tls import ProxyTls
from router.envoy_words import Json

MADE = bootstrap("lb0", 8080, 9901, routers=("127.0.0.1:18000", "router-b:18000"), listener_host="0.0.0.0")


def address(holder: Json) -> tuple[str, int]:
    socket = holder["address"]["socket_address"]
    return socket["address"], socket["port_value"]


def connections() -> Json:
    (listener,) = MADE["static_resources"]["listeners"]
    config: Json = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return config


def routers() -> Json:
    (cluster,) = MADE["static_resources"]["clusters"]
    found: Json = cluster
    return found


def test_the_node_names_the_proxy() -> None:
    assert MADE["node"]["id"] == "lb0"


def test_the_admin_port_is_never_reachable_from_elsewhere() -> None:
    assert address(MADE["admin"]) == ("127.0.0.1", 9901)
    assert address(MADE["static_resources"]["listeners"][0]) == ("0.0.0.0", 8080)


def test_the_routers_are_asked_in_their_order() -> None:
    groups = routers()["load_assignment"]["endpoints"]
    assert [g["priority"] for g in groups] == [0, 1]
    assert [address(g["lb_endpoints"][0]["endpoint"]) for g in groups] == [("127.0.0.1", 18000), ("router-b", 18000)]


def test_a_router_that_does_not_answer_is_passed_over() -> None:
    (check,) = routers()["health_checks"]
    assert check["grpc_health_check"] == {}
    assert (check["interval"], check["no_traffic_interval"], check["timeout"]) == ("1s", "1s", "1s")
    assert routers()["close_connections_on_host_health_failure"] is True


def test_a_link_that_is_cut_is_noticed_within_three_seconds() -> None:
    (options,) = routers()["typed_extension_protocol_options"].values()
    pings = options["explicit_http_config"]["http2_protocol_options"]["connection_keepalive"]
    assert pings == {"interval": "1s", "timeout": "2s"}


def test_a_proxy_comes_back_to_its_router_within_a_second() -> None:
    (service,) = MADE["dynamic_resources"]["ads_config"]["grpc_services"]
    assert service["envoy_grpc"]["cluster_name"] == routers()["name"]
    assert service["envoy_grpc"]["retry_policy"]["retry_back_off"]["max_interval"] == "1s"


def test_a_new_proxy_answers_nobody_before_it_has_routes() -> None:
    for source in (MADE["dynamic_resources"]["cds_config"], connections()["rds"]["config_source"]):
        assert source == {"resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s"}


def test_streams_may_be_silent_for_ever() -> None:
    assert connections()["stream_idle_timeout"] == "0s"


def test_the_filters_stand_in_the_order_in_which_an_id_is_taken_apart() -> None:
    names = [f["name"].removeprefix("envoy.filters.http.") for f in connections()["http_filters"]]
    assert names == ["header_to_metadata", "header_mutation", "stateful_session", "router"]


def test_a_session_whose_server_is_gone_is_told_so() -> None:
    envelope = connections()["http_filters"][2]["typed_config"]
    assert envelope["strict"] is True
    assert envelope["status_on_strict_destination_not_found"] == 404
    assert envelope["session_state"]["typed_config"]["header"] == {"name": "mcp-session-id"}


def test_totals_are_pushed_to_the_routers_twice_a_second_by_whom_they_are_of() -> None:
    (sink,) = MADE["stats_sinks"]
    service = sink["typed_config"]["grpc_service"]
    assert service["envoy_grpc"]["cluster_name"] == routers()["name"]
    assert service["initial_metadata"] == [{"key": "x-davylamp-proxy", "value": "lb0"}]
    assert MADE["stats_flush_interval"] == "0.5s"


@pytest.mark.parametrize(
    ("stat", "pushed"),
    [
        ("cluster.orders.v2.upstream_rq_completed", True),
        ("cluster.orders.v2.0.upstream_cx_destroy_remote_with_active_rq", True),
        ("cluster.orders.v2.upstream_rq_200", False),
        ("http.mcp.downstream_rq_completed", False),
    ],
)
def test_only_what_is_counted_is_pushed(stat: str, pushed: bool) -> None:  # noqa: FBT001
    (sink,) = MADE["stats_sinks"]
    (matcher,) = sink["typed_config"]["custom_metric_conversions"]["matcher_list"]["matchers"]
    kept = matcher["predicate"]["not_matcher"]["single_predicate"]["value_match"]["safe_regex"]["regex"]
    assert (re.fullmatch(kept, stat) is not None) is pushed
    assert matcher["on_match"]["action"]["typed_config"]["@type"].endswith("SinkConfig.DropAction")


def test_single_requests_are_logged_to_the_routers_with_the_assignment_and_nothing_private() -> None:
    (log,) = connections()["access_log"]
    config = log["typed_config"]
    assert config["common_config"]["grpc_service"]["envoy_grpc"]["cluster_name"] == routers()["name"]
    assert config["additional_request_headers_to_log"] == ["x-davylamp-assignment"]
    assert "additional_response_headers_to_log" not in config


def test_envoys_own_messages_take_it() -> None:
    # The published protobuf package is older than Envoy and does not know the status of the strict mode.
    parsed: Any = ParseDict(json.loads(json.dumps(MADE)), Bootstrap(), ignore_unknown_fields=True)
    assert parsed.node.id == "lb0"
    assert len(parsed.static_resources.listeners) == 1


def test_with_certificates_the_routers_are_asked_by_mtls_and_must_be_whom_the_proxy_asked() -> None:
    tls = ProxyTls("proxy.crt", "proxy.key", "ca.pem")
    made = bootstrap("lb0", 8080, 9901, routers=("127.0.0.1:18000", "router-b:18000"), tls=tls)
    (cluster,) = made["static_resources"]["clusters"]
    ParseDict(cluster, Cluster())
    context = cluster["transport_socket"]["typed_config"]["common_tls_context"]
    assert context["tls_certificates"] == [
        {"certificate_chain": {"filename": "proxy.crt"}, "private_key": {"filename": "proxy.key"}}
    ]
    trusted = context["validation_context"]
    assert trusted["trusted_ca"] == {"filename": "ca.pem"}
    assert [(n["san_type"], n["matcher"]["exact"]) for n in trusted["match_typed_subject_alt_names"]] == [
        ("IP_ADDRESS", "127.0.0.1"),
        ("DNS", "router-b"),
    ]
    assert "transport_socket" not in routers()
