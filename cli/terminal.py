"""What every command does at its edges: exit codes, errors on stderr, files of people's, the way to the API."""

import getpass
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer
import yaml
from pydantic import ValidationError

from cli.client import ApiError, AwayError, Client, UnansweredError
from cli.strict_yaml import read_yaml
from davylamp_sdk._message import Message
from schemas.plan import WRITTEN
from schemas.units import parse_duration_s
from status.mistakes import mistakes
from transport import settings

EXIT_REFUSED = 1
EXIT_WRONG = settings.EXIT_WRONG
"""click's own."""
EXIT_ROLLED_BACK = 3
EXIT_UNDECIDED = 4

EXITS = {
    0: "It is done, or it is well.",
    EXIT_REFUSED: "It is refused, not there, not reachable or not well; stderr says what to do next. Of `rollback --direct`: some "
    "router did not confirm, and its proxies may still give the canary sessions.",
    EXIT_WRONG: "Wrong usage: a command, an option or a setting is not understood; of `judge`, `replay` and `kayenta import` also "
    "a file.",
    EXIT_ROLLED_BACK: "The rollout was rolled back (`status`), or the verdict is fail (`judge`).",
    EXIT_UNDECIDED: "Nobody knows yet: time ran out (`status --watch`, and commands that read the log), nobody said what became of a "
    "word, or something was never heard (`doctor`). Of `rollback --direct`: every router has it, and some proxy is not known to.",
}
"""What the end of a command says to scripts."""

DEFAULT_URL = "http://127.0.0.1:8642"
URL_VARIABLE = "DAVYLAMP_URL"
NO_SERVICE = "No service is known: davylamp service apply FILE registers one."
Url = Annotated[str, typer.Option(envvar=URL_VARIABLE, help="The status API.")]

M = TypeVar("M", bound=Message)
P = ParamSpec("P")
T = TypeVar("T")


class NotAnsweredExit(typer.Exit):
    """The end of a command that nobody answered: away, silent about what became of a word, or not to be asked so."""


def connect(url: str) -> Client:
    """A client that says who is asking: by DAVYLAMP_TOKEN, and by the user's name where no token is needed."""
    try:
        return Client(url, actor=user())
    except ApiError as error:
        print(error, file=sys.stderr)
        raise NotAnsweredExit(EXIT_WRONG) from error


def ask(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the API answers; its refusal ends the command."""
    try:
        return call(*args, **kwargs)
    except (AwayError, UnansweredError) as error:
        print(error, file=sys.stderr)
        raise NotAnsweredExit(EXIT_UNDECIDED if isinstance(error, UnansweredError) else EXIT_REFUSED) from error
    except ApiError as error:
        fail(str(error))


def for_programs(found: Any) -> str:
    """What the API says, for programs; escaped where the output has no way to write it."""
    text = json.dumps(found, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(found, indent=2)
    return text


def print_all(found: list[dict[str, Any]], line: Callable[[dict[str, Any]], str], none: str, *, as_json: bool) -> None:
    """A list of the API's: as JSON, or one after the other as `line` says them. That there is `none` goes to stderr."""
    if as_json:
        print(for_programs(found))
        return
    if not found:
        print(none, file=sys.stderr)
    for one in found:
        print(line(one))


def fail(message: str, code: int = EXIT_REFUSED) -> NoReturn:
    """End the command with a sentence on stderr."""
    print(message, file=sys.stderr)
    raise typer.Exit(code)


def seconds(text: str) -> float:
    """A duration as people write it (`15m`); a bare number is seconds."""
    try:
        return parse_duration_s(text if text[-1:].isalpha() else f"{text}s")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def load(file: Path, code: int = EXIT_REFUSED) -> Any:
    """The content of a YAML file; one that cannot be read ends the command with `code`."""
    try:
        return read_yaml(file.read_text(encoding="utf-8"), file.name)
    except OSError as error:
        fail(f"{file}: {error.strerror}", code)
    except (ValueError, yaml.YAMLError) as error:
        fail(f"{file}: {error}", code)


def understand(model: type[M], file: Path, content: Any) -> M:
    """What a person wrote, checked as a whole: every mistake at once, with its path and what to write instead."""
    try:
        return model.model_validate(content, context=WRITTEN)
    except ValidationError as error:
        found = mistakes(error.errors(), model)
        fail("\n".join([f"{file} is refused, nothing has moved:", *(f"  {mistake}" for mistake in found)]))


def read_file(model: type[M], file: Path) -> M:
    """A file of a person's, read and understood."""
    return understand(model, file, load(file))


def why(reason: str) -> str:
    """The reason that was given, or that a person at the terminal gives when asked; nobody's ends the command."""
    if reason.strip():
        return reason
    if not _has_person():
        fail('Say why: --reason "…"', EXIT_WRONG)
    return str(typer.prompt("Why? It is kept with your name", err=True))


def _has_person() -> bool:
    return sys.stdin.isatty()


def user() -> str:
    """Who sits at the terminal."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid-{os.getuid()}"
