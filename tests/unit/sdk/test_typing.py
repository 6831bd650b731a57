"""The public API under a second type checker; mypy checks `typed_api.py` with everything else (`make types`)."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PYRIGHT = shutil.which("pyright") or shutil.which("basedpyright")


@pytest.mark.skipif(PYRIGHT is None, reason="no pyright here: it brings a whole Node (`pipx install basedpyright`)")
@pytest.mark.parametrize(
    ("checked", "mode"), [("tests/unit/sdk/typed_api.py", "strict"), ("sdk/src/davylamp_sdk", "standard")]
)
def test_pyright_finds_nothing(tmp_path: Path, checked: str, mode: str) -> None:
    config = {
        "include": [str(ROOT / checked)],
        "extraPaths": [str(ROOT / "sdk/src")],
        "venvPath": str(Path(sys.prefix).parent),
        "venv": Path(sys.prefix).name,
        "typeCheckingMode": mode,
    }
    file = tmp_path / "pyrightconfig.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    done = subprocess.run([str(PYRIGHT), "-p", str(file)], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout
