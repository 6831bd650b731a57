"""One proxy's stream: what is sent when, and what counts as acknowledged."""

from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from router.snapshot import ServiceRoute, Snapshot, Weight
from router.xds_stream import ProxyStream, Push, Resource
from schemas.service import Version

PLACE = Version(endpoints=("127.0.0.1:8001",))


def route(service: str, *versions: str, entry: str = "", to: str = "v1", place: Version = PLACE) -> ServiceRoute:
    places = dict.fromkeys(versions, place)
    return ServiceRoute(service, entry, "/mcp", ("*",), places, (Weight(to, "-", 10_000),), (), (to,))


def snapshot(ledger: int, services: int, *routes: ServiceRoute) -> Snapshot:
    return Snapshot(f"{ledger:04d}-{services:04d}", f"{services:04d}", {r.service: r for r in routes})


FIRST = snapshot(1, 1, route("orders", "v1"))
WITH_V2 = snapshot(1, 2, route("orders", "v1", "v2"))
TO_V2 = snapshot(2, 2, route("orders", "v1", "v2", entry="e2", to="v2"))


def sent(stream: ProxyStream) -> list[Push]:
    pushes: list[Push] = []
    while (push := stream.push()) is not None:
        pushes.append(push)
    return pushes


def kinds(stream: ProxyStream) -> list[Resource]:
    return [push.resource for push in sent(stream)]


def settled(newest: Snapshot) -> ProxyStream:
    """A stream whose proxy has acknowledged everything."""
    stream = ProxyStream(newest)
    for resource in ("clusters", "routes"):
        stream.request(resource, "")
        for push in sent(stream):
            stream.request(push.resource, push.nonce)
    return stream


def test_nothing_is_sent_that_the_proxy_did_not_ask_for() -> None:
    stream = ProxyStream(FIRST)
    assert kinds(stream) == []
    stream.request("clusters", "")
    assert kinds(stream) == ["clusters"]


def test_what_is_acknowledged_is_not_sent_again() -> None:
    stream = settled(FIRST)
    assert sent(stream) == []
    assert stream.state("orders") == "acknowledged"
    assert stream.version == FIRST.version


def test_a_route_to_a_new_cluster_waits_for_the_word_on_the_cluster() -> None:
    stream = settled(FIRST)
    stream.want(TO_V2)
    (clusters,) = sent(stream)
    assert clusters.resource == "clusters"
    stream.request("clusters", clusters.nonce)
    assert kinds(stream) == ["routes"]


def test_a_route_to_known_clusters_waits_for_nothing() -> None:
    stream = settled(FIRST)
    stream.want(WITH_V2)
    assert kinds(stream) == ["clusters", "routes"]


def test_an_answer_outstanding_does_not_delay_a_later_route() -> None:
    stream = settled(WITH_V2)
    stream.want(TO_V2)
    assert kinds(stream) == ["routes"]
    stream.want(replace(WITH_V2, version="0003-0002"))
    assert kinds(stream) == ["routes"]


def test_clusters_that_nobody_answers_hold_up_no_route_that_does_without_them() -> None:
    stream = settled(FIRST)
    stream.want(TO_V2)
    assert kinds(stream) == ["clusters"]
    stream.want(snapshot(3, 2, route("orders", "v1", "v2", entry="e3")))
    assert kinds(stream) == ["routes"]


def test_an_answer_to_an_older_response_acknowledges_what_that_one_held() -> None:
    stream = settled(WITH_V2)
    stream.want(TO_V2)
    (older,) = sent(stream)
    stream.want(replace(WITH_V2, version="0003-0002"))
    (newer,) = sent(stream)
    stream.request("routes", older.nonce)
    assert stream.version == TO_V2.version
    assert stream.state("orders") == "pending"
    stream.request("routes", newer.nonce)
    assert stream.state("orders") == "acknowledged"


def test_a_nonce_of_another_stream_means_nothing() -> None:
    stream = ProxyStream(FIRST)
    stream.request("clusters", "41")
    (push,) = sent(stream)
    stream.request("clusters", "42")
    assert stream.state("orders") == "pending"
    stream.request("clusters", push.nonce)
    assert stream.state("orders") == "pending"


def test_a_refusal_is_kept_in_the_proxys_own_words_while_it_concerns_the_newest_route() -> None:
    stream = settled(WITH_V2)
    stream.want(TO_V2)
    (push,) = sent(stream)
    stream.request("routes", push.nonce, "no such thing")
    assert stream.state("orders") == "rejected"
    assert stream.words("orders") == "no such thing"
    assert stream.version == WITH_V2.version
    stream.want(replace(WITH_V2, version="0003-0002"))
    assert stream.state("orders") == "acknowledged"
    assert stream.words("orders") is None


def test_a_refusal_does_not_touch_a_service_whose_route_the_proxy_runs() -> None:
    orders, billing = route("orders", "v1", "v2"), route("billing", "v1")
    stream = settled(snapshot(1, 1, orders, billing))
    stream.want(snapshot(2, 1, replace(orders, entry="e2", weights=(Weight("v2", "-", 10_000),)), billing))
    (push,) = sent(stream)
    stream.request("routes", push.nonce, "bad")
    assert (stream.state("orders"), stream.state("billing")) == ("rejected", "acknowledged")


def test_refused_clusters_keep_their_service_where_it_was_and_hold_up_nobody_else() -> None:
    billing = route("billing", "v1")
    stream = settled(snapshot(1, 1, route("orders", "v1"), billing))
    stream.want(snapshot(2, 2, TO_V2.routes["orders"], billing))
    (clusters,) = sent(stream)
    stream.request("clusters", clusters.nonce, "malformed address")
    assert obey(stream).routes["orders"] == route("orders", "v1")
    assert (stream.state("orders"), stream.words("orders")) == ("rejected", "malformed address")
    rolled_back = replace(billing, entry="e9")
    stream.want(snapshot(3, 2, TO_V2.routes["orders"], rolled_back))
    assert obey(stream).routes["billing"] == rolled_back
    assert stream.state("billing") == "acknowledged"


def obey(stream: ProxyStream) -> Snapshot:
    """Accept whatever is sent, until nothing is; the routes that are in force then."""
    while (push := stream.push()) is not None:
        stream.request(push.resource, push.nonce)
    assert stream.accepted is not None
    return stream.accepted


BILLING = route("billing", "v1", "v2", entry="b1", to="v2")
ORDERS = route("orders", "v1", "v2")
BOTH = snapshot(1, 1, ORDERS, BILLING)
EDITED = replace(ORDERS, hosts=("broken.example",))
BACK = replace(BILLING, entry="b2", weights=(Weight("v1", "-", 10_000),))


def quarantined() -> ProxyStream:
    """A stream whose proxy has refused an edit of `orders` and runs what it is asked for in its place."""
    stream = settled(BOTH)
    stream.want(snapshot(1, 2, EDITED, BILLING))
    (push,) = [p for p in sent(stream) if p.resource == "routes"]
    stream.request("routes", push.nonce, "bad host")
    obey(stream)
    return stream


def test_after_a_refused_edit_the_last_accepted_configuration_is_sent_again() -> None:
    stream = quarantined()
    assert stream.accepted is not None
    assert stream.accepted.routes == BOTH.routes
    assert stream.version == "0001-0001"
    assert (stream.state("orders"), stream.words("orders")) == ("rejected", "bad host")
    assert stream.state("billing") == "acknowledged"


def test_a_rollback_is_acknowledged_while_another_services_edit_is_refused() -> None:
    stream = quarantined()
    stream.want(snapshot(2, 2, EDITED, BACK))
    assert kinds(stream) == ["routes"]
    stream = quarantined()
    stream.want(snapshot(2, 2, EDITED, BACK))
    assert obey(stream).routes == {"billing": BACK, "orders": ORDERS}
    assert stream.version == "0002-0001"
    assert (stream.state("billing"), stream.state("orders")) == ("acknowledged", "rejected")


def test_a_rollback_that_was_sent_with_the_refused_edit_is_sent_again_without_it() -> None:
    stream = settled(BOTH)
    stream.want(snapshot(1, 2, EDITED, BILLING))
    (first,) = [p for p in sent(stream) if p.resource == "routes"]
    stream.want(snapshot(2, 2, EDITED, BACK))
    (second,) = sent(stream)
    stream.request("routes", first.nonce, "bad host")
    stream.request("routes", second.nonce, "bad host")
    assert obey(stream).routes == {"billing": BACK, "orders": ORDERS}
    assert stream.state("billing") == "acknowledged"


def test_a_service_whose_edit_is_refused_follows_its_ledger_nevertheless() -> None:
    stream = quarantined()
    stream.want(snapshot(2, 2, replace(EDITED, entry="o1", weights=(Weight("v2", "-", 10_000),)), BILLING))
    assert obey(stream).routes["orders"] == replace(ORDERS, entry="o1", weights=(Weight("v2", "-", 10_000),))
    assert (stream.state("orders"), stream.words("orders")) == ("rejected", "bad host")


def test_another_edit_of_the_service_ends_the_quarantine() -> None:
    stream = quarantined()
    healed = replace(ORDERS, hosts=("fine.example",))
    stream.want(snapshot(1, 3, healed, BILLING))
    assert obey(stream).routes["orders"] == healed
    assert stream.state("orders") == "acknowledged"
    assert stream.words("orders") is None


def test_another_services_edit_is_tried_while_one_is_held() -> None:
    stream = quarantined()
    moved = replace(BILLING, path="/billing")
    stream.want(snapshot(1, 3, EDITED, moved))
    assert obey(stream).routes == {"billing": moved, "orders": ORDERS}
    assert (stream.state("billing"), stream.state("orders")) == ("acknowledged", "rejected")


def test_a_new_service_that_is_refused_is_left_out() -> None:
    stream = settled(BOTH)
    stream.want(snapshot(1, 2, ORDERS, BILLING, route("broken", "v1")))
    pushes = {p.resource: p for p in sent(stream)}
    stream.request("clusters", pushes["clusters"].nonce)
    routes = pushes.get("routes") or stream.push()
    assert routes is not None
    stream.request("routes", routes.nonce, "no")
    assert obey(stream).routes == BOTH.routes
    assert stream.state("broken") == "rejected"


def test_a_refusal_without_an_edit_waits_for_the_next_entry() -> None:
    stream = settled(BOTH)
    stream.want(snapshot(2, 1, ORDERS, BACK))
    (push,) = sent(stream)
    stream.request("routes", push.nonce, "bad weights")
    assert sent(stream) == []
    assert (stream.state("billing"), stream.state("orders")) == ("rejected", "acknowledged")


def test_a_proxy_that_refuses_the_first_it_is_sent_gets_what_others_accepted() -> None:
    stream = ProxyStream(snapshot(2, 2, EDITED, BACK), proven=BOTH)
    stream.request("clusters", "")
    stream.request("routes", "")
    clusters = stream.push()
    assert clusters is not None
    stream.request("clusters", clusters.nonce)
    routes = stream.push()
    assert routes is not None
    stream.request("routes", routes.nonce, "bad host")
    assert obey(stream).routes == {"billing": BACK, "orders": ORDERS}
    assert stream.state("billing") == "acknowledged"


def test_a_cluster_goes_only_after_the_last_route_to_it() -> None:
    stream = settled(TO_V2)
    stream.want(snapshot(3, 3, route("orders", "v1", entry="e3")))
    clusters, routes = sent(stream)
    assert (clusters.resource, sorted(clusters.clusters)) == ("clusters", ["orders.v1", "orders.v2"])
    stream.request("clusters", clusters.nonce)
    assert sent(stream) == []
    stream.request("routes", routes.nonce)
    (removal,) = sent(stream)
    assert (removal.resource, sorted(removal.clusters)) == ("clusters", ["orders.v1"])
    assert stream.state("orders") == "acknowledged"


def test_a_cluster_stays_while_the_route_without_it_is_refused() -> None:
    stream = settled(TO_V2)
    stream.want(snapshot(3, 3, route("orders", "v1", entry="e3")))
    _, routes = sent(stream)
    stream.request("routes", routes.nonce, "no")
    kept = obey(stream)
    assert (kept.routes["orders"].entry, sorted(kept.clusters)) == ("e3", ["orders.v1", "orders.v2"])


def test_moved_servers_are_acknowledged_with_their_clusters() -> None:
    stream = settled(FIRST)
    moved = Version(endpoints=("127.0.0.1:9001",))
    stream.want(snapshot(1, 2, route("orders", "v1", place=moved)))
    clusters, routes = sent(stream)
    stream.request("routes", routes.nonce)
    assert stream.state("orders") == "pending"
    stream.request("clusters", clusters.nonce)
    assert stream.state("orders") == "acknowledged"


def test_clusters_that_changed_under_the_same_version_are_sent() -> None:
    stream = settled(WITH_V2)
    stream.want(snapshot(2, 2, route("orders", "v1")))
    assert "clusters" in kinds(stream)


def test_nothing_is_known_about_a_service_that_has_no_route() -> None:
    assert settled(FIRST).state("billing") == "pending"


VERSIONS = ("v1", "v2", "v3")


@dataclass
class ObedientProxy:
    """Subscribes, and answers what it was sent, in order, whenever it feels like it."""

    stream: ProxyStream
    inbox: list[Push] = field(default_factory=list)
    runs: Snapshot | None = None
    clusters: frozenset[str] = frozenset()

    def receive(self, newest: Snapshot) -> None:
        while (push := self.stream.push()) is not None:
            waiting = any(p.resource == "clusters" for p in self.inbox)
            if push.resource == "routes" and waiting:
                assert newest.referenced <= self.clusters
            self.inbox.append(push)

    def answer(self) -> None:
        push = self.inbox.pop(0)
        if push.resource == "clusters":
            self.clusters = frozenset(push.clusters)
        else:
            self.runs = push.snapshot
        assert self.runs is None or self.runs.referenced <= self.clusters
        self.stream.request(push.resource, push.nonce)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2), st.integers(0, 4)), max_size=20))
def test_any_interleaving_ends_with_the_newest_and_never_names_an_unknown_cluster(
    steps: list[tuple[int, int, int]],
) -> None:
    newest = FIRST
    proxy = ObedientProxy(ProxyStream(newest))
    proxy.stream.request("clusters", "")
    proxy.stream.request("routes", "")
    for number, (known, to, answers) in enumerate(steps, start=2):
        chosen = VERSIONS[min(to, known - 1)]
        newest = snapshot(number, known, route("orders", *VERSIONS[:known], entry=f"e{number}", to=chosen))
        proxy.stream.want(newest)
        proxy.receive(newest)
        for _ in range(min(answers, len(proxy.inbox))):
            proxy.answer()
            proxy.receive(newest)
    proxy.receive(newest)
    while proxy.inbox:
        proxy.answer()
        proxy.receive(newest)
    assert proxy.stream.state("orders") == "acknowledged"
    assert proxy.stream.version == newest.version
    assert proxy.clusters == newest.clusters.keys()
