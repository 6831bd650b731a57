"""What the SDK's README tells people to type works, and costs nobody anything: Kafka is away while it runs."""

import re
from pathlib import Path

from davylamp_sdk import Recorder

README = Path(__file__).parents[2] / "sdk" / "README.md"


def test_the_readmes_python_runs_as_it_stands() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    names: dict[str, object] = {}
    recorders: list[Recorder] = []
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
        recorders += [value for value in names.values() if isinstance(value, Recorder) and value not in recorders]
    assert len(recorders) == 3
    for recorder in recorders:
        recorder.close(timeout_s=0)
    assert [recorder.stats().recorded for recorder in recorders] == [0, 1, 0]
