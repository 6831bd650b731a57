"""One service's routes in Envoy's words: who is known by what, and where that leads. Pure.

All routing state travels with the client, nothing is stored in the proxy: in the session id,
``<service>.<version>~<label>~<enveloped id>``, in the cookie, ``<service>.<version>~<label>~<uuid>``, or in the hash of its
principal. Every way to a server overwrites the assignment header, and none trusts what a client sent of it.
"""

from collections.abc import Iterable, Iterator

from router.envoy_words import (
    ASSIGNMENT_HEADER,
    COOKIE,
    INNER_ID,
    METADATA,
    PRINCIPAL_HEADER,
    PROTOCOL_HEADER,
    SESSION_HEADER,
    STATEFUL_SESSION,
    TYPES,
    WHOLE_ID,
    Json,
    added,
    envelope,
    mutations,
    overwritten,
    replaced,
)
from router.snapshot import ServiceRoute, Weight
from schemas.labels import UNJUDGED, Label
from schemas.names import SESSION_REVISIONS
from schemas.units import FULL_SHARE

DRAWS = " draws"
"""What the name of a route, its service's, is followed by if it assigns sessions or cookies."""


def routes(service: ServiceRoute) -> list[Json]:
    """The first that matches wins: a client is known by its session, its message path, its cookie or its principal."""
    return [{"name": service.service, **route} for route in _in_order(service)]


def _in_order(service: ServiceRoute) -> list[Json]:
    return [
        *_known_sessions(service),
        _unknown_session(service),
        *([] if service.stateless else [_other_era(service)]),
        *_message_paths(service),
        *_new_session(service),
        *_known_cookies(service),
        *_principals(service),
        *_new_cookie(service),
        _drawn(service, {}, [Weight(service.home, UNJUDGED, FULL_SHARE)]),
    ]


def _known_sessions(service: ServiceRoute) -> Iterator[Json]:
    """Living pairs, the re-homed, then baselines with whatever label."""
    for pair in service.pairs:
        yield _known_session(service, pair.version, f"{pair.label}~", pair.version, pair.label)
    for pair in service.rehomed:
        yield _rehomed(_known_session(service, pair.version, f"{pair.label}~", service.home, UNJUDGED))
    for version in service.unlabelled:
        yield _known_session(service, version, "", version, UNJUDGED)


def _known_session(service: ServiceRoute, born: str, rest_of_prefix: str, version: str, label: str) -> Json:
    """Its own server, which the envelope in the id names."""
    prefix = f"{service.cluster(born)}~{rest_of_prefix}"
    return {
        "match": _match(service, {"name": SESSION_HEADER, "string_match": {"prefix": prefix}}),
        "route": {"cluster": service.cluster(version), "timeout": "0s"},
        **mutations(
            request=[
                replaced(SESSION_HEADER, f"%DYNAMIC_METADATA({METADATA}:{INNER_ID})%"),
                overwritten(ASSIGNMENT_HEADER, f"{label};{version}"),
            ],
            response=[replaced(SESSION_HEADER, f"%DYNAMIC_METADATA({METADATA}:{WHOLE_ID})%")],
        ),
    }


def _rehomed(route: Json) -> Json:
    """Any server of the version: the envelope filter opens the id and, without strictness, lets the server go.

    The client keeps the id that it has, so that a later change finds the session by it again.
    """
    kind = f"{TYPES}envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute"
    route["typed_per_filter_config"][STATEFUL_SESSION] = {"@type": kind, "stateful_session": envelope(strict=False)}
    return route


def _unknown_session(service: ServiceRoute) -> Json:
    """404 tells an MCP client to initialize again (MCP 2025-06-18, Streamable HTTP, session management)."""
    body = {"inline_string": "Session not found: initialize again.\n"}
    return {"match": _match(service, _present(SESSION_HEADER)), "direct_response": {"status": 404, "body": body}}


def _other_era(service: ServiceRoute) -> Json:
    """A server of an older era would answer 400 and nothing that the client understands; so clients of both eras begin
    a session (MCP 2026-07-28, backward compatibility)."""
    older = {"safe_regex": {"regex": "|".join(SESSION_REVISIONS)}}
    newer = {"name": PROTOCOL_HEADER, "string_match": older, "invert_match": True}
    return {"match": _match(service, _present(PROTOCOL_HEADER), newer), "direct_response": {"status": 400}}


def _message_paths(service: ServiceRoute) -> Iterator[Json]:
    """A server of HTTP+SSE (MCP 2024-11-05) that names its version in its message path gets its own streams' messages.

    Where sessions are assigned a stream, which is a GET without a session, is the baseline's: its messages carry
    nothing that could tell in which stage it began.
    """
    versions = {*service.unlabelled, *(p.version for p in service.pairs if p.label == UNJUDGED)}
    if not service.weights:
        versions |= {w.version for w in (*service.principals, *service.cookies)}
    for version in sorted(versions):
        path = {"path_separated_prefix": f"{service.path.rstrip('/')}/messages/{version}"}
        yield _drawn(service, path, [Weight(version, UNJUDGED, FULL_SHARE)])


def _new_session(service: ServiceRoute) -> Iterator[Json]:
    """Only `initialize` begins one: a POST that does not name its protocol, as every later request must.

    Before revision 2025-06-18 none did. A server without sessions that has such clients assigns by principal alone.
    """
    if service.weights:
        unnamed = {**_present(PROTOCOL_HEADER), "invert_match": True}
        post = {"name": ":method", "string_match": {"exact": "POST"}}
        yield {"name": f"{service.service}{DRAWS}", **_drawn(service, _match(service, post, unnamed), service.weights)}


def _known_cookies(service: ServiceRoute) -> Iterator[Json]:
    """As sessions: living pairs, the re-homed, then baselines. Any other cookie is none."""
    if not service.cookies:
        return
    for pair in service.pairs:
        if _is_cookies(pair.label):
            yield _known_cookie(service, pair.version, f"{pair.label}~", Weight(pair.version, pair.label, FULL_SHARE))
    for pair in service.rehomed:
        if _is_cookies(pair.label):
            yield _known_cookie(service, pair.version, f"{pair.label}~", Weight(service.home, UNJUDGED, FULL_SHARE))
    for version in service.unlabelled:
        yield _known_cookie(service, version, "", Weight(version, UNJUDGED, FULL_SHARE))


def _is_cookies(label: str) -> bool:
    parsed = Label.parse(label)
    return parsed is None or parsed.kind == "cookie"


def _known_cookie(service: ServiceRoute, born: str, rest_of_prefix: str, to: Weight) -> Json:
    value = f"{COOKIE}={service.cluster(born)}~{rest_of_prefix}"
    cookie = {"name": "cookie", "string_match": {"contains": value}}
    return _drawn(service, _match(service, cookie, *_without_session(service)), [to])


def _principals(service: ServiceRoute) -> Iterator[Json]:
    """The same principal meets the same version while the share stays, and moves only to the canary while it rises.

    Its header is hashed with a salt, so that another rollout draws others. Changing it makes another principal.
    """
    if service.principals:
        named = {"name": PRINCIPAL_HEADER, "string_match": {"safe_regex": {"regex": ".+"}}}
        route = _drawn(service, _match(service, named, *_without_session(service)), service.principals)
        salted = {"pattern": {"regex": "^(.+)$"}, "substitution": f"{service.salt}:\\1"}
        route["route"]["hash_policy"] = [{"header": {"header_name": PRINCIPAL_HEADER, "regex_rewrite": salted}}]
        route["route"]["weighted_clusters"]["use_hash_policy"] = True
        yield route


def _new_cookie(service: ServiceRoute) -> Iterator[Json]:
    if service.cookies:
        match = _match(service, *_without_session(service))
        yield {"name": f"{service.service}{DRAWS}", **_drawn(service, match, service.cookies, cookie=True)}


def _without_session(service: ServiceRoute) -> list[Json]:
    """What tells a request that begins no session: where those are assigned, it names its protocol."""
    return [_present(PROTOCOL_HEADER)] if service.weights else []


def _drawn(service: ServiceRoute, match: Json, weights: Iterable[Weight], *, cookie: bool = False) -> Json:
    """One of the weights, by chance or by a hash. A session that a server begins is born with its label."""
    weighted = [_cluster_weight(service, weight, cookie=cookie) for weight in weights]
    return {
        "match": match or _match(service),
        "route": {"timeout": "0s", "weighted_clusters": {"clusters": weighted}},
    }


def _cluster_weight(service: ServiceRoute, weight: Weight, *, cookie: bool) -> Json:
    cluster = service.cluster(weight.version)
    value = f"{COOKIE}={cluster}~{weight.label}~%UNIQUE_ID%; Path={service.path}; HttpOnly; SameSite=Lax"
    return {
        "name": cluster,
        "weight": weight.weight,
        **mutations(
            request=[overwritten(ASSIGNMENT_HEADER, f"{weight.label};{weight.version}")],
            response=[
                replaced(SESSION_HEADER, f"{cluster}~{weight.label}~%RESP({SESSION_HEADER})%"),
                *([added("set-cookie", value)] if cookie else []),
            ],
        ),
    }


def _match(service: ServiceRoute, *headers: Json) -> Json:
    path = service.path
    by_path = {"prefix": path} if path.endswith("/") else {"path_separated_prefix": path}
    return {**by_path, "headers": list(headers)} if headers else by_path


def _present(header: str) -> Json:
    return {"name": header, "present_match": True}
