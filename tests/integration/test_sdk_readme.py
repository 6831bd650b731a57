"""What the SDK's README tells people to type works."""

import re
from pathlib import Path

from davylamp_sdk import Telemetry

README = Path(__file__).parents[2] / "sdk" / "README.md"


def test_the_readmes_python_runs_as_it_stands() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
        telemetry = names["telemetry"]
        assert isinstance(telemetry, Telemetry)
        telemetry.close()
