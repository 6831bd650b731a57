"""The public API under a second type checker; mypy checks `typed_api.py` with everything else (`make types`)."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SDK = ROOT / "sdk/src"
USES = Path(__file__).with_name("typed_api.py")
PYRIGHT = Path(sys.prefix) / "bin" / "basedpyright"
"""Pyright with a Node from packages; `typeCheckingMode` keeps rules of its own out."""


def test_pyright_finds_nothing_in_the_sdk_and_refuses_exactly_what_its_users_must_not_write(tmp_path: Path) -> None:
    config = {
        "include": [str(SDK / "davylamp_sdk"), str(USES)],
        "strict": [str(USES)],
        "extraPaths": [str(SDK)],
        "venvPath": str(Path(sys.prefix).parent),
        "venv": Path(sys.prefix).name,
        "typeCheckingMode": "standard",
        "enableTypeIgnoreComments": False,
        "reportUnnecessaryTypeIgnoreComment": "error",
    }
    file = tmp_path / "pyrightconfig.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    argv = [str(PYRIGHT), "--outputjson", "-p", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=100)
    found = json.loads(done.stdout)
    assert found["generalDiagnostics"] == []
    assert found["summary"]["filesAnalyzed"] > len(list((SDK / "davylamp_sdk").glob("*.py")))
