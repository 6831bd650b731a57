"""Who a request is counted under: the session, or by the proxy's label the principal or the cookie behind it."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

from davylamp_sdk._finished import Kind

ASSIGNMENT_HEADER: Final = "x-davylamp-assignment"
SESSION_HEADER: Final = "mcp-session-id"
PRINCIPAL_HEADER: Final = "authorization"
COOKIE_HEADER: Final = "cookie"
COOKIE: Final = "mcp_canary"

DIGEST_BYTES: Final = 16
MIN_KEY: Final = 16
"""Characters: with a shorter key somebody who reads events could try out tokens."""

Header = Callable[[str], str | None]
"""The value of a header by its name in lower case."""


class Units:
    """Hashes whoever a label says was assigned; what is hashed never leaves this module.

    A session's id is hashed by BLAKE2b (RFC 7693): whoever reads the hash cannot use the session. A token or a cookie may
    be guessable, so it is hashed with the service's `key`, and not at all without one: then its requests are emitted
    without a session, and nobody judges them. Every replica of both versions needs the same key.
    """

    def __init__(self, key: str | None = None) -> None:
        if key is not None and len(key) < MIN_KEY:
            raise ValueError(
                f"davylamp telemetry's key has {len(key)} characters: make it {MIN_KEY} or more, at random"
            )
        # BLAKE2b takes keys of up to 64 bytes.
        self._key = None if key is None else hashlib.blake2b(key.encode()).digest()

    def of(self, assignment: str | None, session_id: str | None, header: Header) -> tuple[Kind, str | None]:
        """What was assigned, and its hash; None: there is nothing to tell it by."""
        kind = kind_of(assignment)
        if kind == "principal":
            return kind, self._keyed(header(PRINCIPAL_HEADER))
        if kind == "cookie":
            return kind, self._keyed(_cookie(header(COOKIE_HEADER)))
        return kind, session_hash(session_id)

    def _keyed(self, value: str | None) -> str | None:
        if not value or self._key is None:
            return None
        return hashlib.blake2b(_bytes(value), digest_size=DIGEST_BYTES, key=self._key).hexdigest()


def session_hash(session_id: str | None) -> str | None:
    """16 bytes in hex, None without an id."""
    return hashlib.blake2b(_bytes(session_id), digest_size=DIGEST_BYTES).hexdigest() if session_id else None


def kind_of(assignment: str | None) -> Kind:
    """What the label in ``<rollout>.<stage>.<kind>.<nonce>;<version>`` says was assigned; a session unless it says so."""
    parts = assignment.split(".", 3) if assignment else ()
    kind = parts[2] if len(parts) == 4 else "session"  # noqa: PLR2004 - see the form above
    return "principal" if kind == "principal" else "cookie" if kind == "cookie" else "session"


def header_of(headers: Mapping[str, str] | None) -> Header:
    """Look up a header in whatever a framework has: case is ignored, what is not there or no string is None."""

    def header(name: str) -> str | None:
        if headers is None:
            return None
        value = headers.get(name)
        if value is None and type(headers) is dict:
            value = next((v for k, v in headers.items() if k.lower() == name), None)
        return value if isinstance(value, str) else None

    return header


def _cookie(header: str | None) -> str | None:
    for pair in (header or "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value
    return None


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")
