"""Write the reference pages that follow from the code: `make reference`. A test compares them with what is committed.

The command line from its commands; plans, services and settings from their models; topics from their data; the status API
from its OpenAPI document.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from typer.main import get_command

from alerts import metrics as alerts_metrics
from alerts.settings import AlertsSettings
from cli.client import TOKEN_VARIABLE
from cli.main import app
from cli.routers import DirectSettings
from cli.terminal import DEFAULT_URL, EXITS, URL_VARIABLE
from judge import metrics as judge_metrics
from judge.app import JudgeSettings
from judge.remote import RemoteJudgeSettings
from router import metrics as router_metrics
from router.settings import RouterSettings
from schemas.plan import Plan
from schemas.service import Service
from schemas.topics import load_topics
from schemas.units import format_duration_s, format_percent, format_points
from status import metrics as status_metrics
from status.app import create_app
from status.settings import StatusSettings
from streams import metrics as streams_metrics
from streams import otel_metrics
from streams.app import StreamsSettings
from streams.otel_bridge import OtelBridgeSettings
from transport.exposition import Family, table
from transport.memory_log import MemoryLog
from transport.settings import CONFIG_VARIABLE, KafkaSettings, Settings, Table

_WRITTEN: dict[str, Callable[[Any], str]] = {
    "10m": format_duration_s,
    "10%": format_percent,
    "0.5pp": format_points,
}
"""How a default is written, by its form's example."""
QUOTE = '"'
_NOTHING: Mapping[str, Any] = {}

FOLDER = Path(__file__).parents[1] / "docs" / "reference"

TABLES: dict[Table, type[Settings]] = {
    "kafka": KafkaSettings,
    "streams": StreamsSettings,
    "judge": JudgeSettings,
    "router": RouterSettings,
    "alerts": AlertsSettings,
    "status": StatusSettings,
    "direct": DirectSettings,
    "otel_bridge": OtelBridgeSettings,
    "remote_judge": RemoteJudgeSettings,
}
"""Every table of the settings file."""


def pages() -> dict[str, str]:
    """Every generated page by its file's name."""
    return {
        "cli.md": _cli(),
        "plan.md": _model("plan", "A plan", Plan, "howto/write-a-plan.md"),
        "service.md": _model("service", "A service", Service, "howto/put-envoy-in-front.md"),
        "settings.md": _settings(),
        "topics.md": _topics(),
        "api.md": _api(),
        "metrics.md": _metrics(),
    }


def main() -> None:
    """Write everything."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", *(part.strip() for part in parts), "Written by `make reference`."]) + "\n"


def _metrics() -> str:
    sections = [_section(service, *told) for service, told in _TELLS.items()]
    return _page("Metrics", _ABOUT_METRICS, *sections)


_ABOUT_METRICS = """
The status service tells Prometheus at `/metrics` of its own port (with a viewer's token, where tokens are configured) what all of davylamp
comes to. Every other service tells what it knows of itself at `/metrics` of a port of its own, which is closed unless
`metrics_port` is [set](settings.md): it asks for no token, so keep it where only Prometheus reaches it. What to alert on is in
[be paged](../howto/be-paged.md#by-prometheus). Counters and histograms count from when a process began, those of the status service from
when it has read the log to its end; gauges are what holds at the scrape.
"""

_TELLS: dict[str, tuple[str, Mapping[Any, Family]]] = {
    "status": ("The whole.", status_metrics.METRICS),
    "streams": ("Each worker of its own partitions.", streams_metrics.METRICS),
    "judge": ("What only it can know: whether it looks.", judge_metrics.METRICS),
    "router": ("Each router of the proxies that it knows.", router_metrics.METRICS),
    "alerts": ("Whether on-call hears of anything.", alerts_metrics.METRICS),
    "otel-bridge": ("What became of spans.", otel_metrics.METRICS),
}


def _section(service: str, about: str, metrics: Mapping[Any, Family]) -> str:
    return f"## {service}\n\n{about}\n\n" + _table(("name", "type", "what"), list(table(metrics)))


def _cli() -> str:
    exits = _table(("exit code", ""), [(f"`{code}`", meaning) for code, meaning in EXITS.items()])
    environment = _table(("variable", ""), [(f"`{name}`", meaning) for name, meaning in _ENVIRONMENT.items()])
    return _page(
        "The command line",
        "`davylamp --version` tells which one this is.",
        f"## Environment\n\n{environment}",
        f"## Exit codes\n\n{exits}",
        *(_command(path, command) for path, command in _commands("davylamp", get_command(app))),
    )


_ENVIRONMENT = {
    URL_VARIABLE: f"Where the status API listens, for every command with `--url`; default `{DEFAULT_URL}`.",
    TOKEN_VARIABLE: "Who asks the status API: a token of `davylamp token new`. Without one, which loopback allows, the ledger has "
    "the user's name.",
    CONFIG_VARIABLE: "A TOML file of [settings](settings.md). No file is read that this does not name.",
    "DAVYLAMP_TABLE_KEY": "One setting, like `DAVYLAMP_KAFKA_BOOTSTRAP`: it wins over the file.",
    "NO_COLOR": "No colour in help and errors; nothing else has any.",
}


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner: Mapping[str, Any] = getattr(command, "commands", {})
    if not inner:
        yield path, command
    for name in sorted(inner):
        yield from _commands(f"{path} {name}", inner[name])


def _command(path: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and "--help" not in p.opts]
    usage = " ".join([path, *(p.name.upper() if p.required else f"[{p.name.upper()}]" for p in arguments)])
    rows = [
        (_name(p), _default(p), " ".join(filter(None, (p.help, f"Or `{p.envvar}`." if p.envvar else ""))))
        for p in (*arguments, *options)
    ]
    return "\n\n".join(
        [f"## {path}", f"`{usage}`", _sentence(command.help), *([_table(("", "default", ""), rows)] if rows else [])]
    )


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in (parameter.opts[-1], *parameter.secondary_opts))


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    return "" if value is None or value is False or callable(value) or value == "" else f"`{value}`"


def _model(kind: str, title: str, model: type[BaseModel], howto: str) -> str:
    schema = model.model_json_schema(by_alias=True)
    intro = f"{_sentence(model.__doc__)} See [how](../{howto}); `davylamp check FILE` shows a {kind} with every default filled in."
    return _page(
        title,
        intro,
        _keys(schema, schema.get("$defs", {})),
        *(
            f"## {name}\n\n{_sentence(d.get('description'))}\n\n{_keys(d, schema['$defs'])}"
            for name, d in schema.get("$defs", {}).items()
        ),
    )


def _keys(schema: Mapping[str, Any], others: Mapping[str, Any] = _NOTHING) -> str:
    """`others`: the models that its fields may be of."""
    required = set(schema.get("required", ()))
    rows = [
        (
            f"`{key}`",
            _kind(field),
            "required" if key in required else _shown(field, others),
            _sentence(field.get("description")),
        )
        for key, field in schema.get("properties", {}).items()
    ]
    return _table(("key", "form", "default", ""), rows)


def _kind(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        name = str(field["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    options = [option for option in field.get("anyOf", field.get("allOf", ())) if option.get("type") != "null"]
    if options:
        return " or ".join(_kind(option) for option in options)
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("examples"):
        return ", ".join(f"`{value}`" for value in field["examples"])
    return _structure(field)


def _structure(field: Mapping[str, Any]) -> str:
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    if field.get("type") == "object":
        by_pattern = next(iter(field.get("patternProperties", {"": {}}).values()))
        return f"mapping to {_kind(field.get('additionalProperties') or by_pattern)}"
    return str(field.get("type", "any"))


def _shown(field: Mapping[str, Any], others: Mapping[str, Any] = _NOTHING) -> str:
    value = field.get("default")
    if value is None or value in ({}, [], ""):
        return ""
    value = sorted(value) if field.get("uniqueItems") else value
    if isinstance(value, dict):
        return "; ".join(["as below", *_otherwise(value, field, others)])
    if isinstance(value, list) and (write := _writer(field.get("items", {}))):
        return f"`[{', '.join(map(write, value))}]`"
    write = None if isinstance(value, str) else _writer(field)
    return f"`{write(value) if write is not None else json.dumps(value).strip(QUOTE)}`"


def _writer(field: Mapping[str, Any]) -> Callable[[Any], str] | None:
    return _WRITTEN.get(str(next(iter(field.get("examples", ())), "")))


def _otherwise(value: Mapping[str, Any], field: Mapping[str, Any], others: Mapping[str, Any]) -> Iterator[str]:
    """What this default has that is not its model's own."""
    usual = others.get(str(field.get("$ref", "")).rpartition("/")[2], {}).get("properties", {})
    for key, one in value.items():
        if isinstance(one, bool) and one != usual.get(key, {}).get("default", one):
            yield f"`{key}: {json.dumps(one)}`"


def _settings() -> str:
    intro = (
        f"One table a component in the TOML file that `{CONFIG_VARIABLE}` names; `window_s` of `[streams]` may also come from the "
        "environment as `DAVYLAMP_STREAMS_WINDOW_S`, which wins. Tables, keys and variables that nobody knows are refused."
    )
    inner = {
        name: part
        for model in TABLES.values()
        for name, part in model.model_json_schema().get("$defs", {}).items()
        if "properties" in part
    }
    return _page(
        "Settings",
        intro,
        *(f"## [{table}]\n\n{_fields(model.model_json_schema())}" for table, model in TABLES.items()),
        *(f"## {name}\n\n{_sentence(part.get('description'))}\n\n{_keys(part)}" for name, part in inner.items()),
    )


def _fields(schema: Mapping[str, Any]) -> str:
    """Defaults that depend on the machine are not told: their descriptions say what they are."""
    properties = schema["properties"]
    rows = [
        (f"`{key}`", _kind(field), _shown(field), _sentence(field.get("description")))
        for key, field in properties.items()
    ]
    return _table(("key", "form", "default", ""), rows)


def _topics() -> str:
    rows = [
        (
            f"`{spec.name}`",
            _sentence(spec.description),
            f"`{spec.key}`",
            f"[{spec.schema_name}](../../schemas/json/{spec.schema_name}.schema.json)"
            if spec.schema_name
            else "any bytes",
            ", ".join(spec.written_by),
            ", ".join(spec.read_by),
            ", ".join(f"`{key}={value}`" for key, value in spec.config.items()),
        )
        for spec in load_topics().values()
    ]
    intro = (
        "`davylamp topics` creates them. Control topics (all but the first of telemetry and its dead letters) have equal partition "
        "counts; a service's partition is murmur2 of its name."
    )
    return _page("Topics", intro, _table(("topic", "holds", "key", "schema", "written by", "read by", "kept"), rows))


_PAGES_OF_BODIES = {"Plan": "plan.md", "Service": "service.md"}


def _api() -> str:
    log = MemoryLog()
    document = create_app(log.reader(), log.writer()).openapi()
    operations = [
        (f"{method.upper()} {path}", operation)
        for path, found in document["paths"].items()
        for method, operation in found.items()
    ]
    intro = (
        "What the command line and the page use; the same document, for programs and with an example of everything, is at "
        "`/openapi.json`. Errors are `application/problem+json` (RFC 9457). Everything but `/healthz`, `/readyz`, `/login` and `/static/` wants a token "
        "(`Authorization: Bearer …`, or the session cookie of `/login`). Where none are configured, the API answers on loopback "
        "only, and any request may say who is asking: `?actor=NAME`."
    )
    bodies = {name: None for _, operation in operations if (name := _body(operation)) not in (None, *_PAGES_OF_BODIES)}
    schemas = document["components"]["schemas"]
    told = [f"### {name}\n\n{_sentence(schemas[name].get('description'))}\n\n{_keys(schemas[name])}" for name in bodies]
    return _page(
        "The status API", intro, *(_operation(*one) for one in operations), "## What is sent\n\n" + "\n\n".join(told)
    )


def _operation(title: str, operation: Mapping[str, Any]) -> str:
    said = _sentence(operation.get("description") or operation.get("summary"))
    body = _body(operation)
    link = _PAGES_OF_BODIES.get(body or "", f"#{str(body).lower()}")
    parts = [
        f"## {title}",
        said,
        _parameters(operation),
        f"Body: [{body}]({link})." if body else "",
        _answers(operation),
    ]
    return "\n\n".join(part for part in parts if part)


def _body(operation: Mapping[str, Any]) -> str | None:
    """The name of what is sent."""
    content = operation.get("requestBody", {}).get("content", {}).values()
    return next((str(c["schema"]["$ref"]).rpartition("/")[2].partition("-")[0] for c in content), None)


def _parameters(operation: Mapping[str, Any]) -> str:
    """But for `actor`, which every one has."""
    rows = [
        (f"`{p['name']}`", p["in"], _kind(p["schema"]), _shown(p["schema"]), _sentence(p.get("description")))
        for p in operation.get("parameters", ())
        if "$ref" not in p
    ]
    return _table(("parameter", "in", "form", "default", ""), rows)


def _answers(operation: Mapping[str, Any]) -> str:
    rows = [
        (f"`{code}`", _sentence(answer.get("description")))
        for code, answer in sorted(operation.get("responses", {}).items())
    ]
    return _table(("answer", ""), rows)


def _sentence(text: str | None) -> str:
    """The first paragraph, in one line, without Sphinx's roles."""
    first = (text or "").strip().split("\n\n")[0]
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", " ".join(first.split())).replace("``", "`").replace("|", "\\|")


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in rows)])


if __name__ == "__main__":
    main()
