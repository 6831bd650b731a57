"""The base of every message: frozen, strict when written, lenient when read."""

import json
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """A frozen record of the contract.

    Writers refuse unknown keys (construction and ``model_validate``); readers use :meth:`read`, which ignores
    them: within a major version fields are only added, and the commonest canary carries a newer SDK than its
    baseline.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True
    )

    @classmethod
    def read(cls, raw: bytes | str) -> Self:
        """Parse JSON as a reader does. Raises ``pydantic.ValidationError``, a ``ValueError``."""
        return cls.model_validate_json(raw, extra="ignore")

    def dump(self) -> bytes:
        """The canonical bytes: compact UTF-8 JSON, keys sorted, absent optional fields left out."""
        return canonical_json(self.model_dump(mode="json", exclude_none=True))


def canonical_json(value: Any) -> bytes:
    """Bytes that two programs agree on: compact UTF-8 JSON with sorted keys; NaN and infinities are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
