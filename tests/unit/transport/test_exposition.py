"""What Prometheus reads, and which names there are."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from alerts import metrics as alerts
from judge import metrics as judge
from router import metrics as router
from status import metrics as status
from streams import metrics as streams
from streams import otel_metrics
from transport.exposition import Family, family, text

ROOT = Path(__file__).parents[3]
ALL: tuple[Any, ...] = (alerts, judge, router, status, streams, otel_metrics)
METRICS: dict[str, Family] = {"a_total": ("counter", "How many."), "b": ("gauge", "Nothing is said of it.")}


def test_each_name_has_its_type_and_help_once_also_where_nothing_is_said() -> None:
    said = [("a_total", (("who", "x"),), 1.0), ("a_total", (("who", 'y\n"\\'),), 2.0)]
    assert text(METRICS, said) == (
        '# HELP a_total How many.\n# TYPE a_total counter\na_total{who="x"} 1\na_total{who="y\\n\\"\\\\"} 2\n'
        "# HELP b Nothing is said of it.\n# TYPE b gauge\n"
    )


@pytest.mark.parametrize(("value", "written"), [(1_234_567, "1234567"), (0.1, "0.1"), (1e9 + 1, "1000000001")])
def test_a_counter_does_not_stand_still_once_it_is_large(value: float, written: str) -> None:
    assert family("a_total", "counter", "", [("", (), value)]).endswith(f"\na_total {written}\n")


def test_a_name_that_is_not_declared_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        text(METRICS, [("c", (), 1.0)])


@pytest.mark.parametrize("module", ALL, ids=lambda module: module.__name__)
def test_every_name_is_declared_with_type_and_help_and_is_its_services_own(module: Any) -> None:
    assert set(module.METRICS) == set(get_args(module.MetricName))
    others = [name for other in ALL if other is not module for name in other.METRICS]
    assert not set(module.METRICS) & set(others)
    assert all((kind == "counter") == name.endswith("_total") for name, (kind, _) in module.METRICS.items())


def test_every_name_that_the_howto_alerts_on_is_told_by_the_service_that_it_names() -> None:
    rows = re.findall(r"^\| `([^`]+)`", (ROOT / "docs/howto/be-paged.md").read_text(encoding="utf-8"), re.MULTILINE)
    expressions = [row for row in rows if "davylamp_" in row]
    known = {name for module in ALL for name in module.METRICS}
    assert len(expressions) >= 6
    for expression in expressions:
        assert set(re.findall(r"davylamp_\w+", expression)) <= known, expression
