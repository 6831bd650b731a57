"""Documents of strangers, read whole or refused: JSON whose keys stand once, and nothing that no reader after it can hold. Pure."""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

DEEPEST = 100
"""Lists and objects in each other: more than anything that is judged needs, and far from where Python gives up."""

_LARGEST = int(sys.float_info.max)


class DocumentError(ValueError):
    """The document is well formed, and not to be read all the same."""


class _TwiceError(Exception):
    """A key of an object stands twice."""


def read_json(text: str | bytes) -> Any:
    """The content. Raises :class:`DocumentError`, or another ``ValueError`` for what is no JSON."""
    try:
        return fit(json.loads(text, object_pairs_hook=_object))
    except RecursionError as error:
        raise too_deep() from error
    except _TwiceError:
        raise DocumentError(f"{_twice(text)} stands twice: leave one of them out") from None


def fit(content: Any) -> Any:
    """The content itself. Raises :class:`DocumentError` for endless nesting, and for numbers and texts that nothing else can hold."""
    level, seen = [content], set[int]()
    for _ in range(DEEPEST + 1):
        for value in level:
            _refuse_unfit(value)
        # By identity: what YAML names by an alias is looked into once, however often it stands there.
        inner = {id(one): one for one in level if isinstance(one, dict | list) and id(one) not in seen}
        seen.update(inner)
        level = list(chain.from_iterable(map(_inside, inner.values())))
        if not level:
            return content
    raise too_deep()


def too_deep() -> DocumentError:
    """What is said of endless nesting, also where a reader gave up on its own."""
    return DocumentError(f"lists and objects are nested more than {DEEPEST} deep")


def _inside(container: dict[Any, Any] | list[Any]) -> Iterable[Any]:
    return chain(container, container.values()) if isinstance(container, dict) else container


def _refuse_unfit(value: Any) -> None:
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise DocumentError(f"a number of {len(str(abs(value)))} digits is beyond what 64 bits hold")
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise DocumentError(f"{value!r} is no text: it holds half a character") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _TwiceError
    return found


class _Doubled:
    """Stands for an object with a key that stands twice."""

    def __init__(self, key: str) -> None:
        self.key = key


def _marked(pairs: list[tuple[str, Any]]) -> Any:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return _Doubled(key)
        seen.add(key)
    return dict(pairs)


def _twice(text: str | bytes) -> str:
    """The path of the first key that stands twice."""
    open_: list[tuple[str, Any]] = [("", json.loads(text, object_pairs_hook=_marked))]
    while open_:
        path, value = open_.pop()
        if isinstance(value, _Doubled):
            return f"{path}.{value.key}".removeprefix(".")
        open_ += _places(path, value)
    raise AssertionError("no key stands twice")


def _places(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((f"{path}.{key}", inner) for key, inner in value.items())
    if isinstance(value, list):
        yield from ((f"{path}[{i}]", inner) for i, inner in enumerate(value))
