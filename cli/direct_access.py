"""How `davylamp up` lets people roll back without Kafka: a token of its own for its router's direct port, in a file."""

import contextlib
import os
import secrets
import tomllib
from dataclasses import dataclass
from pathlib import Path

from cli.routers import DirectSettings
from router.settings import RouterSettings
from transport.settings import CONFIG_VARIABLE

_FILE = "direct.toml"
_ONLY_OWNER = 0o600
_TEXT = """\
# Written by `davylamp up`. Whoever may read this may roll back without Kafka, judge and status API.
[direct]
routers = ["{url}"]
token = "{token}"
"""


@dataclass(frozen=True, slots=True)
class DirectAccess:
    """The direct port of one stack's router, on this machine."""

    file: Path
    token: str
    port: int

    @property
    def router_environment(self) -> dict[str, str]:
        """What opens the port."""
        return {"DAVYLAMP_ROUTER_DIRECT_PORT": str(self.port), "DAVYLAMP_ROUTER_DIRECT_TOKEN": self.token}

    @property
    def command(self) -> str:
        """How people use it."""
        return f"{CONFIG_VARIABLE}={self.file} davylamp rollback SERVICE --direct"


def direct_access(folder: Path, port: int) -> DirectAccess | None:
    """The access of the stack in `folder`, its token the same at each start. None where settings name a token already.

    Raises :class:`transport.settings.SettingsError` for settings that no router could use, and ``OSError``.
    """
    if RouterSettings.load("router").direct_token is not None:
        return None
    file = folder / _FILE
    token = _kept(file) or secrets.token_urlsafe(24)
    folder.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _ONLY_OWNER), "w") as written:
        written.write(_TEXT.format(url=f"http://127.0.0.1:{port}", token=token))
    fresh.replace(file)
    return DirectAccess(file, token, port)


def _kept(file: Path) -> str | None:
    """Of a file that is torn or foreign nothing is kept."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        known = DirectSettings.model_validate(tomllib.loads(file.read_text(encoding="utf-8"))["direct"])
        return known.token.get_secret_value() if known.token else None
    return None
