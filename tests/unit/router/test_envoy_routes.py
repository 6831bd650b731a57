"""One service's routes in Envoy's words. That Envoy understands them so is for the integration tests."""

from dataclasses import replace
from typing import Any

import pytest
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2  # noqa: F401 - stands in an Any
from envoy.extensions.filters.http.stateful_session.v3 import stateful_session_pb2  # noqa: F401
from envoy.extensions.http.stateful_session.envelope.v3 import envelope_pb2  # noqa: F401
from google.protobuf.json_format import MessageToDict, ParseDict

from router.envoy_routes import routes
from router.envoy_words import HEADER_MUTATION, STATEFUL_SESSION, Json
from router.rollouts import Pair
from router.snapshot import ServiceRoute, Weight
from schemas.labels import Kind, Label
from schemas.service import Version

SEED = "0a" * 16


def label(version: str, kind: Kind = "session") -> str:
    return str(Label.make(SEED, 1, 1, version, kind))


def weights(kind: Kind) -> tuple[Weight, ...]:
    return (Weight("v2", label("v2", kind), 100), Weight("v1", label("v1", kind), 9_900))


def pairs(*kinds: Kind) -> tuple[Pair, ...]:
    return tuple(Pair(version, label(version, kind)) for kind in kinds for version in ("v2", "v1"))


def orders(path: str = "/mcp", **changes: Any) -> ServiceRoute:
    """Sessions alone."""
    plain = ServiceRoute(
        service="orders",
        entry="e1",
        path=path,
        hosts=("*",),
        versions={v: Version(endpoints=("127.0.0.1:8001",)) for v in ("v1", "v2")},
        weights=weights("session"),
        pairs=pairs("session"),
        unlabelled=("v1",),
        home="v1",
    )
    return replace(plain, **changes)


FULL = orders(
    pairs=pairs("session", "cookie", "principal"),
    principals=weights("principal"),
    cookies=weights("cookie"),
    salt="5a17",
    stateless=False,
)
"""Every kind, and versions that differ in era."""


def mutations(holder: Json, kind: str) -> dict[str, str]:
    listed = holder["typed_per_filter_config"][HEADER_MUTATION]["mutations"][f"{kind}_mutations"]
    return {m["append"]["header"]["key"]: m["append"]["header"]["value"] for m in listed}


def drawn(route: Json) -> list[Json]:
    found: list[Json] = route["route"]["weighted_clusters"]["clusters"]
    return found


def ways(route: Json) -> list[Json]:
    """What leads to a server, of one route."""
    if "direct_response" in route:
        return []
    return drawn(route) if "weighted_clusters" in route["route"] else [route]


def to(route: Json) -> list[tuple[str, int]]:
    return [(c["name"], c["weight"]) for c in drawn(route)]


def known_by(route: Json) -> str:
    """What a client must show to match."""
    match = route["match"]
    shown = [_shown(header) for header in match.get("headers", [])]
    return ", ".join(shown) or str(match.get("path_separated_prefix", match.get("prefix")))


def _shown(header: Json) -> str:
    (how,) = header.get("string_match", {}).values() or ("any",)
    value = how["regex"] if isinstance(how, dict) else how
    return f"{'no ' if header.get('invert_match') else ''}{header['name']} {value}"


def find(service: ServiceRoute, shown: str) -> Json:
    return next(route for route in routes(service) if shown in known_by(route))


def test_a_client_is_known_by_its_session_then_its_path_then_its_cookie_then_its_principal() -> None:
    named = "mcp-protocol-version any"
    assert [known_by(route) for route in routes(FULL)] == [
        *(f"mcp-session-id orders.{p.version}~{p.label}~" for p in pairs("session", "cookie", "principal")),
        "mcp-session-id orders.v1~",
        "mcp-session-id any",
        f"{named}, no mcp-protocol-version 2024-11-05|2025-03-26|2025-06-18|2025-11-25",
        "/mcp/messages/v1",
        ":method POST, no mcp-protocol-version any",
        *(f"cookie mcp_canary=orders.{p.version}~{p.label}~, {named}" for p in pairs("cookie")),
        f"cookie mcp_canary=orders.v1~, {named}",
        f"authorization .+, {named}",
        named,
        "/mcp",
    ]


def test_what_a_service_does_not_assign_by_has_no_routes() -> None:
    assert [known_by(route) for route in routes(orders())] == [
        *(f"mcp-session-id orders.{p.version}~{p.label}~" for p in pairs("session")),
        "mcp-session-id orders.v1~",
        "mcp-session-id any",
        "/mcp/messages/v1",
        ":method POST, no mcp-protocol-version any",
        "/mcp",
    ]


def test_where_no_sessions_are_assigned_a_principal_need_not_name_its_protocol() -> None:
    shown = [known_by(route) for route in routes(replace(FULL, weights=(), pairs=pairs("principal")))]
    assert "authorization .+" in shown
    assert not any(s.startswith(":method") for s in shown)


def test_a_session_keeps_its_version_label_and_id() -> None:
    canary = find(orders(), "orders.v2~")
    assert canary["route"] == {"cluster": "orders.v2", "timeout": "0s"}
    assert mutations(canary, "request")["x-davylamp-assignment"] == f"{label('v2')};v2"
    assert mutations(canary, "request")["mcp-session-id"] == "%DYNAMIC_METADATA(davylamp:inner_id)%"
    assert mutations(canary, "response") == {"mcp-session-id": "%DYNAMIC_METADATA(davylamp:whole_id)%"}
    assert mutations(routes(orders())[2], "request")["x-davylamp-assignment"] == "-;v1"


def test_a_strangers_session_is_told_to_initialize_again() -> None:
    assert find(orders(), "mcp-session-id any")["direct_response"]["status"] == 404


def test_a_new_session_is_born_with_the_label_of_the_version_that_was_drawn() -> None:
    newcomer = find(orders(), ":method POST")
    assert newcomer["route"]["timeout"] == "0s"
    assert to(newcomer) == [("orders.v2", 100), ("orders.v1", 9_900)]
    canary, _ = drawn(newcomer)
    assert mutations(canary, "request") == {"x-davylamp-assignment": f"{label('v2')};v2"}
    assert mutations(canary, "response") == {"mcp-session-id": f"orders.v2~{label('v2')}~%RESP(mcp-session-id)%"}


def test_a_principal_is_hashed_with_the_salt_and_labelled_as_one() -> None:
    route = find(FULL, "authorization")
    (policy,) = route["route"]["hash_policy"]
    assert policy["header"]["header_name"] == "authorization"
    assert policy["header"]["regex_rewrite"]["substitution"] == "5a17:\\1"
    assert route["route"]["weighted_clusters"]["use_hash_policy"] is True
    assert to(route) == [("orders.v2", 100), ("orders.v1", 9_900)]
    assert [mutations(c, "request")["x-davylamp-assignment"] for c in drawn(route)] == [
        f"{label(v, 'principal')};{v}" for v in ("v2", "v1")
    ]


def test_only_a_client_without_a_cookie_is_given_one() -> None:
    giving = [r for r in routes(FULL) for way in ways(r) if "set-cookie" in mutations(way, "response")]
    assert {known_by(route) for route in giving} == {"mcp-protocol-version any"}
    value = f"mcp_canary=orders.v2~{label('v2', 'cookie')}~%UNIQUE_ID%; Path=/mcp; HttpOnly; SameSite=Lax"
    assert mutations(drawn(giving[0])[0], "response")["set-cookie"] == value


def test_a_cookie_leads_where_its_pair_lives() -> None:
    route = find(FULL, f"orders.v2~{label('v2', 'cookie')}~,")
    assert to(route) == [("orders.v2", 10_000)]
    assert mutations(drawn(route)[0], "request") == {"x-davylamp-assignment": f"{label('v2', 'cookie')};v2"}


def test_cookies_of_an_undone_promotion_drain_too() -> None:
    undone = replace(FULL, pairs=(Pair("v2", "-"),))
    assert to(find(undone, "cookie mcp_canary=orders.v2~-~")) == [("orders.v2", 10_000)]
    assert to(find(undone, "/mcp/messages/v2")) == [("orders.v2", 10_000)]


def test_a_rehomed_cookie_is_the_homes_and_unjudged() -> None:
    moved = replace(FULL, pairs=(), rehomed=(Pair("v2", label("v2", "cookie")),))
    route = find(moved, "cookie mcp_canary=orders.v2~")
    assert to(route) == [("orders.v1", 10_000)]
    assert mutations(drawn(route)[0], "request") == {"x-davylamp-assignment": "-;v1"}


def test_who_cannot_be_known_is_the_baselines_and_not_judged() -> None:
    last = routes(FULL)[-1]
    assert to(last) == [("orders.v1", 10_000)]
    assert mutations(drawn(last)[0], "request") == {"x-davylamp-assignment": "-;v1"}


def test_clients_of_another_era_get_an_empty_400() -> None:
    assert find(FULL, "2025-11-25")["direct_response"] == {"status": 400}


@pytest.mark.parametrize(
    ("path", "messages"), [("/", "/messages/v1"), ("/a", "/a/messages/v1"), ("/a/", "/a/messages/v1")]
)
def test_the_message_path_lies_below_the_services(path: str, messages: str) -> None:
    assert to(find(orders(path), messages)) == [("orders.v1", 10_000)]


def test_a_running_canary_has_streams_only_where_no_sessions_are_assigned() -> None:
    assert not any("messages/v2" in known_by(route) for route in routes(FULL))
    without = replace(FULL, weights=(), pairs=pairs("principal"))
    assert to(find(without, "/mcp/messages/v2")) == [("orders.v2", 10_000)]


def test_every_way_to_a_server_overwrites_the_assignment() -> None:
    for way in [way for r in routes(replace(FULL, rehomed=(Pair("v3", label("v3")),))) for way in ways(r)]:
        (mutation,) = [
            m["append"]
            for m in way["typed_per_filter_config"][HEADER_MUTATION]["mutations"]["request_mutations"]
            if m["append"]["header"]["key"] == "x-davylamp-assignment"
        ]
        assert mutation["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD"


def test_a_rehomed_session_goes_to_any_server_of_its_new_version() -> None:
    rehomed, *_ = routes(orders(pairs=(), rehomed=(Pair("v2", label("v2")),)))
    assert known_by(rehomed) == f"mcp-session-id orders.v2~{label('v2')}~"
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
    assert routes(orders(path))[-1]["match"] == match


def test_envoys_own_messages_take_every_field() -> None:
    for route in routes(replace(FULL, rehomed=(Pair("v3", label("v3")),))):
        parsed = MessageToDict(ParseDict(route, Route()), preserving_proto_field_name=True)
        assert parsed.keys() == route.keys()
