"""What the documentation shows is true: files are read, Python runs, commands exist, links lead somewhere."""

import re
import shlex
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import httpx2
import kubernetes_validate
import pytest
import yaml
from pydantic import ValidationError

from cli.reference import TABLES
from davylamp_sdk._settings import Settings as SdkSettings
from schemas.plan import Plan
from schemas.service import Service
from tests.sdk_server import serving
from tests.typed import check_command
from transport.settings import Settings, Table

ROOT = Path(__file__).parents[2]
VERSION = "1.34"
"""Of Kubernetes."""
PLACEHOLDER = "<the 64 hex digits that it prints>"
"""Of a token's digest, which nobody may copy from a page: settings refuse it."""
PAGES = sorted([ROOT / "README.md", ROOT / "sdk/README.md", *(ROOT / "docs").rglob("*.md")])


@dataclass(frozen=True)
class Block:
    page: Path
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.text.strip().splitlines()[0][:40]}"


def blocks(*languages: str) -> list[Block]:
    return [
        Block(page, language, text)
        for page in PAGES
        for language, text in re.findall(
            r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        )
        if language in languages
    ]


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_a_file_is_read_by_the_model_that_its_first_line_names(block: Block) -> None:
    kind = block.text.split("\n", 1)[0].strip("# ").split(":")[0]
    if kind == "plan":
        Plan.model_validate(yaml.safe_load(block.text))
    elif kind == "service":
        Service.model_validate(yaml.safe_load(block.text))
    elif kind == "kubernetes":
        check_kubernetes(block)
    else:
        raise AssertionError(f"{block}: the first line says plan, service or kubernetes")


def check_kubernetes(block: Block) -> None:
    """Valid by Kubernetes' own schemas; what the SDK is told by the environment is what it asks for."""
    if str(block.page.relative_to(ROOT)) in RUN_ELSEWHERE["yaml"]:
        return
    whole = "part of a container" not in block.text.split("\n", 1)[0]
    for found in yaml.safe_load_all(block.text):
        container = {"name": "server", "image": "orders", **found}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "orders"}, "spec": {"containers": [container]}}
        kubernetes_validate.validate(found if whole else pod, VERSION, strict=True)
        for variable in () if whole else found["env"]:
            assert variable["name"].removeprefix("DAVYLAMP_").lower() in {f.name for f in fields(SdkSettings)}, variable


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_settings_are_read_by_their_models(block: Block) -> None:
    if PLACEHOLDER in block.text:
        with pytest.raises(ValidationError, match="token_sha256"):
            read_settings(block.text)
    assert read_settings(block.text.replace(PLACEHOLDER, "0" * 64))


def read_settings(text: str) -> list[Settings]:
    return [TABLES[cast("Table", table)].model_validate(values) for table, values in tomllib.loads(text).items()]


@pytest.mark.parametrize(
    "page", sorted({block.page for block in blocks("python")}), ids=lambda p: str(p.relative_to(ROOT))
)
def test_the_python_of_a_page_runs_from_its_top_to_its_end(page: Path) -> None:
    assert names_of(page)


def names_of(page: Path) -> dict[str, Any]:
    """What the Python of a page has made when it has run."""
    names: dict[str, Any] = {"__name__": "documentation"}
    for block in blocks("python"):
        if block.page == page:
            exec(compile(block.text, str(block), "exec"), names)
    return names


def test_the_server_of_one_howto_answers_what_the_other_asks_through_envoy() -> None:
    """Envoy passes on the client's `Host`; an MCP server that is not told refuses every name but localhost's."""
    (asked,) = [b for b in blocks("sh") if b.page.name == "put-envoy-in-front.md" and b.text.startswith("curl")]
    words = shlex.split(asked.text.replace("\\\n", " "))
    headers = dict(words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H")
    assert headers["host"] == "orders.example.com"
    names = names_of(ROOT / "docs/howto/add-telemetry.md")
    with serving(names["app"]) as url:
        answer = httpx2.post(url, content=words[words.index("-d") + 1], headers=headers)
        names["telemetry"].close(timeout_s=0)  # nobody takes it here
    assert answer.status_code == 200, answer.text
    assert answer.headers["mcp-session-id"]


def commands() -> list[tuple[Block, str]]:
    return [
        (block, match[1])
        for block in blocks("sh")
        for line in block.text.replace("\\\n", " ").splitlines()
        if (match := re.match(r"^(?:\.venv/bin/|kubectl .* -- )?davylamp (.*?)(?: {2,}#.*)?$", line))
    ]


@pytest.mark.parametrize(("block", "command"), commands(), ids=str)
def test_a_command_exists_and_takes_these_options(block: Block, command: str) -> None:
    assert block.text
    check_command(command)


RUN_ELSEWHERE = {
    "json": {"docs/howto/be-paged.md", "docs/howto/from-kayenta.md", "docs/reference/telemetry.md"},
    "yml": {"docs/howto/from-kayenta.md"},
    "text": {"docs/howto/ask-what-would-have-happened.md"},
    "yaml": {"docs/howto/from-flagger-and-argo.md"},
}
"""Blocks of these kinds, on these pages, are read or run by the pages' own tests; of `yaml` only what belongs to Kubernetes."""

FOREIGN = {
    "touch",
    "rm",
    "grep",
    "curl",
    "jq",
    "eval",
    "export",
    "envoy",
    ".venv/bin/envoy",
    "kafka-console-consumer.sh",
    "docker",
    "kubectl",
    "openssl",
}
"""Commands that are not ours. The quickstart's are typed by `tests/acceptance/test_stranger.py`."""


def test_no_block_is_of_a_kind_that_nothing_checks() -> None:
    for page in PAGES:
        for language in re.findall(r"^ *```(\w+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            ours = str(page.relative_to(ROOT)) in RUN_ELSEWHERE.get(language, ())
            assert ours or language in ("yaml", "toml", "python", "sh"), f"{page}: {language}"


def typed() -> list[tuple[Block, str]]:
    return [(block, line) for block in blocks("sh") for line in block.text.replace("\\\n", " ").splitlines()]


@pytest.mark.parametrize(("block", "line"), typed(), ids=str)
def test_what_else_is_typed_exists_too(block: Block, line: str) -> None:
    for table, field in re.findall(rf"\bDAVYLAMP_({'|'.join(TABLES).upper()})_(\w+)=", line):
        assert field.lower() in TABLES[cast("Table", table.lower())].model_fields, f"{block}: {field}"
    first, *words = re.sub(r"^(?:[A-Z_]+=\S+ +)+", "", line).split()
    if first == "make":
        assert f"\n{words[0]}: " in (ROOT / "Makefile").read_text(encoding="utf-8")
    elif first == "pip":
        extra = re.findall(r"'\./sdk\[(\w+)]'", line)[0]
        sdk = tomllib.loads((ROOT / "sdk/pyproject.toml").read_text(encoding="utf-8"))
        assert extra in sdk["project"]["optional-dependencies"]
    elif first == ".venv/bin/python":
        code = _code_of(words[1])
        assert all(f'"{word}"' in code for word in words if word.startswith("--"))
    else:
        assert first in FOREIGN or first.removeprefix(".venv/bin/") == "davylamp", f"{block}: {line}"


def _code_of(module: str) -> str:
    """What `python -m` runs, by its file."""
    place = ROOT / module.replace(".", "/")
    return next(f for f in (place / "__main__.py", place.with_suffix(".py")) if f.exists()).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_modules_that_are_named_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(
        r"`((?:schemas|streams|judge|router|alerts|status|cli|transport|bench|demo|docs|examples|scripts)/[\w./-]+)`",
        text,
    )
    for name in named:
        assert (ROOT / name).exists(), name
