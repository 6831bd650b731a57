"""A browser's session: a signed cookie that names a configured token and says how long it holds.

The token itself stays out of the cookie. A session ends with its time, with the token's removal or change from the
configuration, or with the key; a restart of the service ends none, since the key is configured or lies on disk. Where
several replicas serve it must be configured: what one has signed, the others must know.
"""

import base64
import hashlib
import hmac
import logging
import os
import secrets
from pathlib import Path

from status.settings import StatusSettings
from status.tokens import Token
from transport.clock import Clock

logger = logging.getLogger(__name__)

COOKIE = "davylamp_session"
LASTS_S = 12 * 3600
"""A shift."""

KEY_FILE = "session.key"
_KEY_BYTES = 32


class Sessions:
    """Makes and checks cookies for `tokens`."""

    def __init__(self, tokens: tuple[Token, ...], key: bytes, clock: Clock) -> None:
        self._tokens = {token.name: token for token in tokens}
        self._key = key
        self._clock = clock

    def begin(self, token: Token) -> str:
        """The cookie's value for whoever has just shown `token`."""
        ends_s = self._clock.now_ms() // 1000 + LASTS_S
        name = base64.urlsafe_b64encode(token.name.encode()).decode().rstrip("=")
        return f"{name}.{ends_s}.{self._sign(token, ends_s)}"

    def find(self, cookies: list[bytes]) -> Token | None:
        """Whose session the request's `Cookie` headers carry; None without one that holds."""
        name, _, rest = _value(cookies).partition(".")
        ends, _, signature = rest.partition(".")
        token = self._tokens.get(_decoded(name))
        if token is None or not (ends.isascii() and ends.isdecimal()):
            return None
        genuine = hmac.compare_digest(signature.encode(), self._sign(token, int(ends)).encode())
        return token if genuine and self._clock.now_ms() / 1000 < int(ends) else None

    def _sign(self, token: Token, ends_s: int) -> str:
        said = f"{token.name}:{token.token_sha256}:{token.role}:{ends_s}".encode()
        return hmac.new(self._key, said, hashlib.sha256).hexdigest()


def _value(cookies: list[bytes]) -> str:
    """Our cookie; empty without it, or where there are several: one of them may be planted."""
    pairs = [pair.strip().partition("=") for header in cookies for pair in header.decode("latin-1").split(";")]
    found = [value for name, _, value in pairs if name == COOKIE]
    return found[0] if len(found) == 1 else ""


def _decoded(name: str) -> str:
    try:
        return base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
    except ValueError:
        return ""


def new_key() -> bytes:
    """A key that nobody else has."""
    return secrets.token_bytes(_KEY_BYTES)


def signing_key(settings: StatusSettings) -> bytes:
    """The key that signs sessions: the configured one, else the one that is kept in the data folder."""
    if settings.session_key is not None:
        return settings.session_key.get_secret_value().encode()
    return kept_key(settings.data_folder / KEY_FILE)


def kept_key(file: Path) -> bytes:
    """The key in `file`, which is made with a new one if it is not there.

    Where it cannot be kept (a root that is read only), sessions end with the process.
    """
    fresh = new_key()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as made:
            made.write(fresh)
    except FileExistsError:
        pass
    except OSError as error:
        logger.warning(
            "session key not kept: set session_key", extra={"action": "session_key_unkept", "why": str(error)}
        )
        return fresh
    try:
        kept = file.read_bytes()
    except OSError as error:
        logger.warning("session key not read", extra={"action": "session_key_unread", "why": str(error)})
        return fresh
    return kept if len(kept) >= _KEY_BYTES else fresh
