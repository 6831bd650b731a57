"""What the documentation shows is true: files are read, Python runs, commands exist, links lead somewhere."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from cli.main import app
from cli.routers import DirectSettings
from router.settings import RouterSettings
from schemas.plan import Plan
from schemas.service import Service
from status.settings import StatusSettings
from transport.settings import KafkaSettings, Settings

SETTINGS: dict[str, type[Settings]] = {
    "direct": DirectSettings,
    "kafka": KafkaSettings,
    "router": RouterSettings,
    "status": StatusSettings,
}
ROOT = Path(__file__).parents[2]
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
    else:
        assert kind == "kubernetes", f"{block}: the first line says plan, service or kubernetes"


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_settings_are_read_by_their_models(block: Block) -> None:
    for table, values in tomllib.loads(block.text).items():
        SETTINGS[table].model_validate(values)


@pytest.mark.parametrize(
    "page", sorted({block.page for block in blocks("python")}), ids=lambda p: str(p.relative_to(ROOT))
)
def test_the_python_of_a_page_runs_from_its_top_to_its_end(page: Path) -> None:
    names: dict[str, object] = {"__name__": "documentation"}
    for block in blocks("python"):
        if block.page == page:
            exec(compile(block.text, str(block), "exec"), names)


def commands() -> list[tuple[Block, str]]:
    return [
        (block, match[1])
        for block in blocks("sh")
        for line in block.text.replace("\\\n", " ").splitlines()
        if (match := re.match(r"^(?:\.venv/bin/)?davylamp (.*?)(?: {2,}#.*)?$", line))
    ]


@pytest.mark.parametrize(("block", "command"), commands(), ids=str)
def test_a_command_exists_and_takes_these_options(block: Block, command: str) -> None:
    node, words = get_command(app), command.split()
    while words and words[0] in getattr(node, "commands", {}):
        node = getattr(node, "commands")[words.pop(0)]  # noqa: B009 - typer's groups are not typed
    assert not getattr(node, "commands", {}), f"{block}: {command} names no command"
    if node.allow_extra_args:
        return
    known = {option for parameter in node.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        assert not word.startswith("--") or word.split("=")[0] in known, f"{block}: {word}"


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
