"""Who may ask what: named tokens with a role. Only their hashes are configured, and nothing here keeps a token."""

import hashlib
import hmac
import secrets
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from schemas.names import SERVICE_NAME, ActorName

Role = Literal["viewer", "operator"]
"""Reads everything; reads everything, and writes what it may."""

ServicePattern = Annotated[str, StringConstraints(pattern=rf"^({SERVICE_NAME}\*?|\*)$")]
"""A service's name, or how names begin and a `*`."""


class Token(BaseModel):
    """A token as it is configured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[ActorName, Field(description="What the ledger calls whoever holds it.")]
    role: Annotated[Role, Field(description="A viewer reads everything; an operator decides, too.")]
    token_sha256: Annotated[
        str, StringConstraints(pattern=r"^[0-9a-f]{64}$"), Field(description="Of the token's bytes, in lower-case hex.")
    ]
    """A token carries 256 random bits, so a plain hash gives nothing away."""
    services: Annotated[
        tuple[ServicePattern, ...],
        Field(min_length=1, description="What an operator may change: names, or `team-a-*` for all that begin so."),
    ] = ("*",)

    def may_change(self, service: str) -> bool:
        """A :data:`status.reach.Reach`."""
        return self.role == "operator" and any(_matches(pattern, service) for pattern in self.services)


def _matches(pattern: str, service: str) -> bool:
    return service.startswith(pattern[:-1]) if pattern.endswith("*") else service == pattern


def _from_file(value: Any) -> Any:
    """A path stands for the tables `[[status.tokens]]` of that TOML file; one without any would leave the door open."""
    if not isinstance(value, str | Path):
        return value
    try:
        found = tomllib.loads(Path(value).read_text(encoding="utf-8")).get("status", {}).get("tokens")
    except (OSError, ValueError) as error:
        raise ValueError(f"{value} cannot be read: {error}") from error
    if not found:
        raise ValueError(f"{value} holds no [[status.tokens]]")
    return found


def _told_apart(tokens: "tuple[Token, ...]") -> "tuple[Token, ...]":
    if len({t.name for t in tokens}) < len(tokens) or len({t.token_sha256 for t in tokens}) < len(tokens):
        raise ValueError("two tokens share a name or a hash: the ledger could not tell who it was")
    return tokens


Tokens = Annotated[tuple[Token, ...], BeforeValidator(_from_file), AfterValidator(_told_apart)]


def find_token(tokens: tuple[Token, ...], presented: bytes) -> Token | None:
    """The token that was presented. Takes as long whichever it is, and whether it is one of them."""
    digest, found = fingerprint(presented), None
    for token in tokens:
        if hmac.compare_digest(digest, token.token_sha256):
            found = token
    return found


def fingerprint(token: bytes) -> str:
    """What is configured for a token."""
    return hashlib.sha256(token).hexdigest()


def new_token() -> str:
    """256 random bits; the prefix is for secret scanners."""
    return f"davylamp_{secrets.token_urlsafe(32)}"
