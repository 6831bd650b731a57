"""What a release would hold."""

import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import davylamp_sdk

ROOT = Path(__file__).parents[2]
ROOMS = {"schemas", "transport", "streams", "judge", "router", "alerts", "status", "cli", "demo", "davylamp_sdk"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Distribution → names of the files in its wheel."""
    folder = tmp_path_factory.mktemp("wheels")
    uv = Path(sys.executable).with_name("uv")
    for package in ("davylamp", "davylamp-sdk"):
        command = [str(uv), "build", "--quiet", "--wheel", "--package", package, "--out-dir", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return {wheel.name.split("-")[0]: set(zipfile.ZipFile(wheel).namelist()) for wheel in sorted(folder.glob("*.whl"))}


def packages(names: set[str]) -> set[str]:
    return {name.split("/")[0] for name in names if ".dist-info/" not in name}


def test_the_sdks_wheel_holds_one_name(wheels: dict[str, set[str]]) -> None:
    assert packages(wheels["davylamp_sdk"]) == {"davylamp_sdk"}


def test_the_applications_wheel_holds_every_room_and_its_data(wheels: dict[str, set[str]]) -> None:
    names = wheels["davylamp"]
    assert packages(names) == ROOMS
    assert "schemas/topics/rollout-decisions.yaml" in names
    assert "schemas/json/ledger-entry.v1.schema.json" in names


def test_every_package_says_that_it_is_typed(wheels: dict[str, set[str]]) -> None:
    assert {f"{room}/py.typed" for room in ROOMS} <= wheels["davylamp"]
    assert "davylamp_sdk/py.typed" in wheels["davylamp_sdk"]


def test_each_wheel_carries_the_licence(wheels: dict[str, set[str]]) -> None:
    for names in wheels.values():
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert (ROOT / "sdk/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_no_dependency_ships_one_of_our_names() -> None:
    owners = packages_distributions()
    for room in ROOMS - {"davylamp_sdk"}:
        assert set(owners.get(room, [])) <= {"davylamp"}, room


def test_both_distributions_have_one_version() -> None:
    for file in (ROOT / "pyproject.toml", ROOT / "sdk/pyproject.toml"):
        path = tomllib.loads(file.read_text(encoding="utf-8"))["tool"]["hatch"]["version"]["path"]
        assert (file.parent / path).resolve() == Path(davylamp_sdk.__file__).with_name("_version.py").resolve()
