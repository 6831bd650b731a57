"""What a plan or a service comes to with every default filled in, as people write it. Pure."""

from typing import Any

import yaml

from davylamp_sdk._message import Message

_MARK = "# default"


def render_effective(message: Message) -> str:
    """YAML that reads back as the same message; a line whose value nobody wrote ends in `# default`.

    An item of a list, and what lies two levels deep, stands in one line, which names its defaults.
    """
    lines = _lines(message, indent=0, inherited=False)
    width = min(max((len(text) for text, _ in lines), default=0), 60)
    return "\n".join(f"{text:<{width}}  {mark}" if mark else text for text, mark in lines)


Line = tuple[str, str]
"""A line, and its mark."""


def _lines(message: Message, indent: int, *, inherited: bool) -> list[Line]:
    lines: list[Line] = []
    for name, field in type(message).model_fields.items():
        default = inherited or name not in message.model_fields_set
        value = getattr(message, name)
        if value is not None and value != {}:
            key = f"{' ' * indent}{_scalar(field.alias or name)}:"
            lines += _entry(message, name, value, key, indent, default=default)
    return lines


def _entry(message: Message, name: str, value: Any, key: str, indent: int, *, default: bool) -> list[Line]:
    mark = _MARK if default else ""
    if isinstance(value, Message) and indent:
        return [(f"{key} {_flow(value)}", _partly(value, default=default))]
    if isinstance(value, Message):
        return [(key, ""), *_lines(value, indent + 2, inherited=default)]
    if isinstance(value, dict) and all(isinstance(v, Message) for v in value.values()):
        items = [
            (f"{' ' * (indent + 2)}{_scalar(k)}: {_flow(v)}", _partly(v, default=default)) for k, v in value.items()
        ]
        return [(key, mark), *items]
    if isinstance(value, tuple) and value and isinstance(value[0], Message):
        items = [(f"{' ' * (indent + 2)}- {_flow(v)}", _partly(v, default=default)) for v in value]
        return [(key, mark), *items]
    written = message.model_dump(mode="json", include={name})
    return [(f"{key} {_scalar(next(iter(written.values())))}", mark)]


def _partly(item: Message, *, default: bool) -> str:
    unset = [
        field.alias or name
        for name, field in type(item).model_fields.items()
        if name not in item.model_fields_set and getattr(item, name) not in (None, ())
    ]
    if default or not unset:
        return _MARK if default else ""
    return f"{_MARK}: {', '.join(unset)}"


def _flow(item: Message) -> str:
    shown = item.model_dump(mode="json", exclude_none=True)
    return _scalar({key: value for key, value in shown.items() if value != []})


def _scalar(value: Any) -> str:
    """A value in one line of YAML."""
    text = yaml.safe_dump([value], default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
    return text.strip()[1:-1]
