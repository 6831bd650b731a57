"""What people are told to type, held against the command line as it is."""

import re

from typer.main import get_command

from cli.main import app


def check_command(command: str) -> None:
    """Fail unless `command`, as it stands after the word `davylamp`, names a command and options that it takes."""
    node, words = get_command(app), command.split()
    while words and words[0] in getattr(node, "commands", {}):
        node = getattr(node, "commands")[words.pop(0)]  # noqa: B009 - typer's groups are not typed
    assert not getattr(node, "commands", {}), f"{command} names no command"
    if node.allow_extra_args:
        return
    known = {option for parameter in node.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        assert not word.startswith("--") or word.split("=")[0] in known, f"{command}: {word}"


def commented(text: str) -> list[str]:
    """The lines that the comments of a file set in, as what is to be typed."""
    return [line.strip() for line in re.findall(r"^#   (.*)$", text, re.MULTILINE)]
