"""The table `[status]`."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from status.tokens import Tokens
from transport.loopback import LOOPBACK, is_loopback
from transport.settings import Settings


class StatusSettings(Settings):
    """Settings of the status service."""

    host: str = Field(default="127.0.0.1", description="Anything but loopback needs tokens.")
    port: int = Field(default=8642, ge=1, le=65535, description="Of the page and the API.")
    tokens: Tokens = Field(
        default=(),
        description="A list of {name, role, token_sha256}, or the path of a TOML file with [[status.tokens]]. "
        "`davylamp token new NAME` makes one.",
    )

    session_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Signs browser sessions: the same secret for every replica. Without one a key is made, and kept in "
        "`data_folder`.",
    )
    data_folder: Path = Field(
        default=Path(".davylamp/status"),
        description="Where a made key is kept. If it cannot be, sessions end with the process.",
    )

    @model_validator(mode="after")
    def _closed_or_local(self) -> Self:
        if not self.tokens and not is_loopback(self.host):
            raise ValueError(
                f"without tokens the API listens on loopback only ({LOOPBACK}), not on {self.host}: "
                "configure `tokens` (davylamp token new NAME), for whoever reaches it could start a rollout"
            )
        return self
