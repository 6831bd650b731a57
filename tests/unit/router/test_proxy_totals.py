"""A proxy's push of totals as counts of each cluster."""

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from router.proxy_totals import Totals, totals
from schemas.control import VersionTotals
from tests.unit.router.proxy_words import STARTED_MS, of_cluster, push


def counted(**stats: int) -> VersionTotals:
    found = totals(push(of_cluster("orders.v2", **stats)))
    assert found is not None
    return found.clusters["orders.v2"]


def test_sent_is_what_completed_and_what_is_under_way() -> None:
    assert counted(completed=40, active=3) == VersionTotals(sent=43, failed=0, active=3)


@pytest.mark.parametrize(
    ("stats", "failed"),
    [
        pytest.param({"_5xx": 4}, 4, id="answered 500, refused, or without a server"),
        pytest.param({"broken": 4}, 4, id="reset in the middle of an answer, which had begun with 200"),
        pytest.param({"_5xx": 4, "broken": 4}, 4, id="reset before the answer: the same four, counted as both"),
        pytest.param({"_5xx": 9, "broken": 4}, 9, id="and five that were answered 500"),
    ],
)
def test_failed_counts_no_request_twice(stats: dict[str, int], failed: int) -> None:
    assert counted(completed=10, **stats).failed == failed


def test_what_the_proxy_leaves_out_is_0() -> None:
    assert counted(completed=1) == VersionTotals(sent=1, failed=0, active=0)


def test_a_push_names_the_life_of_its_proxy() -> None:
    found = totals(push(of_cluster("orders.v1", completed=1)))
    assert found is not None
    assert found.started == STARTED_MS


def test_versions_with_dots_are_clusters_of_their_own() -> None:
    stats = {**of_cluster("orders.v2", completed=1), **of_cluster("orders.v2.0.1", completed=2)}
    found = totals(push(stats))
    assert found is not None
    assert {name: counts.sent for name, counts in found.clusters.items()} == {"orders.v2": 1, "orders.v2.0.1": 2}


def test_nobody_elses_stats_are_counted() -> None:
    others = {
        "http.mcp.downstream_rq_completed": 7,
        "cluster.orders.v2.upstream_rq_200": 7,
        "cluster.orders.v2.external.upstream_rq_5xx": 7,
        "upstream_rq_completed": 7,
    }
    found = totals(push({**of_cluster("orders.v2", completed=1), **others}))
    assert found is not None
    assert found.clusters["orders.v2"] == VersionTotals(sent=1, failed=0, active=0)
    assert found.clusters.keys() == {"orders.v2", "orders.v2.external"}


@pytest.mark.parametrize("request_", [ExportMetricsServiceRequest(), push(of_cluster("orders.v2", active=1)), push({})])
def test_a_push_without_a_beginning_says_nothing(request_: ExportMetricsServiceRequest) -> None:
    assert totals(request_) is None


def test_no_count_is_negative() -> None:
    """A gauge may be, for a moment, when it is read while another thread writes it."""
    found = totals(push(of_cluster("orders.v2", completed=5, active=-1)))
    assert found == Totals(STARTED_MS, {"orders.v2": VersionTotals(sent=5, failed=0, active=0)})
