"""What the README alone promises; what all pages do is in `test_docs.py`."""

import re
from pathlib import Path

import pytest

from schemas.plan import Plan, as_written

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("target", re.findall(r"`?make ([a-z]+)`?", README))
def test_its_make_targets_exist(target: str) -> None:
    assert f"\n{target}: " in MAKEFILE


def test_the_example_plan_is_all_defaults_as_it_says() -> None:
    from cli.terminal import read_file

    written = read_file(Plan, ROOT / "examples/orders/plan.yaml")
    assert written == as_written(Plan(service="orders", canary="v2"))
