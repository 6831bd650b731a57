"""What is wrong with a file or a body: every mistake at once, where it is and what to write instead. Pure."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from davylamp_sdk._message import Message
from schemas.names import ServiceName, VersionName
from schemas.plan import Approval

_SHOWN = 60
"""Characters of a wrong value that are repeated to whoever wrote it."""


def _pattern(name: Any) -> str:
    """The regular expression of an annotated text."""
    return str(name.__metadata__[0].pattern)


_PLAIN = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type", "mapping_type"), "must be keys with values"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type"), "must be a list"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    "string_type": "must be text, in quotes if it looks like something else",
}
"""pydantic's errors that it tells in Python's words, to people who write YAML."""

_PATTERNS = {
    _pattern(ServiceName): "must be 1 to 40 of a-z, 0-9 and -, and begin with a letter or digit",
    _pattern(VersionName): "must be 1 to 40 of A-Z, a-z, 0-9, ., _ and -, and begin with a letter or digit",
    _pattern(Approval): "must be start, promote or the number of a stage",
}
"""What those regular expressions say that people meet most."""

_WORDS = {None: "nothing", True: "true", False: "false"}
_CUSTOM = "; a metric of your own needs `kind: rate` or `kind: mean`"


class Mistake(Message):
    """One thing that is wrong."""

    path: str
    """Keys and positions, joined by dots; empty for the whole."""
    message: str

    def __str__(self) -> str:
        """`path: message`."""
        return f"{self.path or 'the whole'}: {self.message}"


def mistakes(errors: Iterable[Mapping[str, Any]], model: type[BaseModel] | None = None) -> tuple[Mistake, ...]:
    """pydantic's errors in our words; with `model`, an unknown key is told the nearest known one."""
    schema = model.model_json_schema() if model is not None else {}
    found = list(errors)
    own = [e for e in found if not _follows(e, found)]
    return tuple(Mistake(path=".".join(map(str, e["loc"])), message=_message(e, schema)) for e in own)


def _follows(error: Mapping[str, Any], errors: Sequence[Mapping[str, Any]]) -> bool:
    """A list counts as too short because its items are wrong: that is no mistake of its own."""
    at = error["loc"]
    return error["type"] == "too_short" and any(e["loc"][: len(at)] == at and len(e["loc"]) > len(at) for e in errors)


def _message(error: Mapping[str, Any], schema: dict[str, Any]) -> str:
    kind, text = str(error["type"]), str(error["msg"])
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        said = _unknown_key(str(error["loc"][-1]), _keys(schema, error["loc"][:-1]))
        return said + (_CUSTOM if error["loc"][:-1] == ("checks",) and isinstance(error.get("input"), Mapping) else "")
    if kind == "value_error":
        return text.removeprefix("Value error, ")
    if kind == "string_pattern_mismatch" and error["ctx"]["pattern"] in _PATTERNS:
        return f"{_PATTERNS[error['ctx']['pattern']]}, not {_short(error.get('input'))}"
    if kind in {"too_short", "too_long"}:
        return _length(kind, error["ctx"])
    return f"{_PLAIN.get(kind) or text[:1].lower() + text[1:]}, not {_short(error.get('input'))}"


def _length(kind: str, told: Mapping[str, Any]) -> str:
    bound = f"at least {told['min_length']}" if kind == "too_short" else f"at most {told['max_length']}"
    found = told["actual_length"]
    return f"must have {bound}" + ("" if found is None else f", not {found}")


def _unknown_key(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"is not known here; did you mean {near[0]}?"
    return f"is not known here; known are {', '.join(known)}" if known else "is not known here"


def _keys(schema: dict[str, Any], path: Sequence[str | int]) -> list[str]:
    """The keys that `schema` (JSON Schema, as pydantic writes it) allows at `path`."""
    node = _resolved(schema, schema)
    for step in path:
        inner = node.get("items") if isinstance(step, int) else node.get("properties", {}).get(step)
        by_pattern = next(iter(node.get("patternProperties", {}).values()), None)
        node = _resolved(schema, inner or by_pattern)
    return sorted(node.get("properties", {}))


def _resolved(schema: dict[str, Any], node: Any) -> dict[str, Any]:
    if not isinstance(node, dict):
        return {}
    if "$ref" in node:
        return _resolved(schema, schema["$defs"][node["$ref"].rpartition("/")[2]])
    options = node.get("anyOf") or node.get("allOf")
    return _resolved(schema, options[0]) if options else node


def _short(value: Any) -> str:
    shown = repr(value) if value is not None and not isinstance(value, bool) else _WORDS[value]
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
