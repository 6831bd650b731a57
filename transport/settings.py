"""Settings: one frozen model a service, from the TOML file that `DAVYLAMP_CONFIG` names and the environment; what nobody
knows is refused."""

import difflib
import logging
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, FilePath, SecretStr, ValidationError, model_validator

CONFIG_VARIABLE = "DAVYLAMP_CONFIG"

EXIT_WRONG = 2
"""How a process ends that does not understand its settings: as click does."""

Table = Literal["kafka", "streams", "judge", "router", "alerts", "status", "direct", "otel_bridge", "remote_judge"]
TABLES: tuple[Table, ...] = get_args(Table)
"""Who has settings."""

_PREFIX = "DAVYLAMP_"
_OF_TESTS = frozenset({"DAVYLAMP_FUZZ", "DAVYLAMP_SCHEDULES"})
_NO_SETTINGS = _OF_TESTS | frozenset(
    {CONFIG_VARIABLE}
    | {"DAVYLAMP_URL", "DAVYLAMP_TOKEN"}  # the command line's
    | {
        f"DAVYLAMP_{name}" for name in ("SERVICE", "VERSION", "INSTANCE", "BOOTSTRAP", "TELEMETRY_TOPIC", "KEY")
    }  # the SDK's
)
_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)=|_PORT=(tcp|udp|sctp)://")
"""What Kubernetes tells every pod of a service that is called davylamp, or davylamp-something."""


class SettingsError(Exception):
    """A setting is not understood."""


class Settings(BaseModel):
    """The base of a service's settings.

    ``streams.window_s`` is ``window_s`` in the table ``[streams]`` of the TOML file that ``DAVYLAMP_CONFIG`` names,
    overruled by ``DAVYLAMP_STREAMS_WINDOW_S``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def load(cls, table: Table, environ: Mapping[str, str] | None = None, *, alone: bool = False) -> Self:
        """Read the table once. Raises :class:`SettingsError` that names each key and what is wrong with it.

        Tables and variables that no service has are refused as well: whoever misspelt one believes that it is set.
        `alone`: but not here, where nothing else matters now.
        """
        env = os.environ if environ is None else environ
        tables, prefix = _toml(env.get(CONFIG_VARIABLE)), f"{_PREFIX}{table.upper()}_"
        if not alone and (unknown := [*_unknown_tables(tables), *_unknown_variables(env)]):
            raise SettingsError("; ".join(unknown))
        values = tables.get(table, {})
        if not isinstance(values, dict):
            raise SettingsError(
                f"{table} = {values!r} is no table: write [{table}], and its keys below (in {CONFIG_VARIABLE})"
            )
        found = {name.removeprefix(prefix).lower(): value for name, value in env.items() if name.startswith(prefix)}
        try:
            return cls.model_validate(values | found)
        except ValidationError as error:
            listed = "; ".join(f"{'.'.join(map(str, e['loc']))}: {cls._said(e)}" for e in error.errors())
            raise SettingsError(f"[{table}] {listed} (in {CONFIG_VARIABLE} or as {prefix}…)") from error

    @classmethod
    def _said(cls, error: Mapping[str, Any]) -> str:
        unknown = error["type"] == "extra_forbidden" and len(error["loc"]) == 1
        return f"is not known here{_near(str(error['loc'][0]), cls.model_fields)}" if unknown else str(error["msg"])


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"


def _unknown_tables(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if name not in TABLES:
            yield f"[{name}] is no table of davylamp's{_near(name, TABLES)} (in {CONFIG_VARIABLE})"


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """Of a table's variables its own service knows the keys."""
    owned = tuple(f"{_PREFIX}{table.upper()}_" for table in TABLES)
    for name, value in environ.items():
        known = name.startswith(owned) or name in _NO_SETTINGS or _LINK.search(f"{name}={value}")
        if name.startswith(_PREFIX) and not known:
            yield f"{name} is no setting of davylamp's{_near(name, _meant(name))}"


def _meant(name: str) -> list[str]:
    """Names that it may be a slip of: of a table's variable, or of one that stands alone."""
    words = name.removeprefix(_PREFIX).split("_")
    cuts = [("_".join(words[:n]).lower(), "_".join(words[n:])) for n in range(1, len(words))]
    near = [(t, rest) for head, rest in cuts for t in difflib.get_close_matches(head, TABLES, n=1)]
    return [f"{_PREFIX}{table.upper()}_{rest}" for table, rest in near] or sorted(_NO_SETTINGS - _OF_TESTS)


def _toml(path: str | None) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {error} (named by {CONFIG_VARIABLE})") from error


class KafkaSettings(Settings):
    """How to reach Kafka, and how many partitions `topics ensure` gives to new topics."""

    bootstrap: str = Field(
        default="127.0.0.1:9092", description="Brokers to begin with, host:port, with commas between them."
    )
    telemetry_partitions: int = Field(default=4, ge=1, description="Of a telemetry topic that is created.")
    control_partitions: int = Field(default=1, ge=1, description="The same for every control topic.")
    replication_factor: int = Field(default=1, ge=1, description="Of topics that are created: 3 on a cluster.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="Whether clients log in (SASL), and whether the connection is encrypted (SSL)."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How they log in."
    )
    sasl_username: str | None = Field(
        default=None, description="One a component: `davylamp kafka acls` says who needs what."
    )
    sasl_password: SecretStr | None = Field(default=None, description="It is never logged.")
    ssl_ca: FilePath | None = Field(default=None, description="PEM; without it the system's authorities are trusted.")
    ssl_cert: FilePath | None = Field(default=None, description="PEM, for a cluster that asks its clients for one.")
    ssl_key: FilePath | None = Field(default=None, description="PEM: the certificate's key.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.sasl and (self.sasl_username is None or self.sasl_password is None):
            raise ValueError(f"{self.security_protocol} needs sasl_username and sasl_password")
        if (self.ssl_cert is None) != (self.ssl_key is None):
            raise ValueError("ssl_cert and ssl_key belong together")
        return self

    @property
    def sasl(self) -> bool:
        """Whether clients log in by name and password."""
        return self.security_protocol.startswith("SASL")

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.security_protocol.endswith("SSL")

    def librdkafka(self, client_id: str) -> dict[str, Any]:
        """Settings that every client of confluent-kafka shares."""
        return {
            "bootstrap.servers": self.bootstrap,
            "client.id": client_id,
            "reconnect.backoff.max.ms": 1000,
            "topic.metadata.refresh.interval.ms": 10_000,  # a stopping broker may say that it knows no topic
            "log_level": 3,
            "logger": logging.getLogger("librdkafka"),  # one log, one form
            **self.librdkafka_security(),
        }

    def librdkafka_security(self) -> dict[str, Any]:
        """How to log in, in librdkafka's words; nothing for a cluster that asks nobody."""
        found: dict[str, Any] = (
            {} if self.security_protocol == "PLAINTEXT" else {"security.protocol": self.security_protocol}
        )
        if self.sasl and self.sasl_password is not None:
            found |= {"sasl.mechanism": self.sasl_mechanism, "sasl.username": self.sasl_username}
            found |= {"sasl.password": self.sasl_password.get_secret_value()}
        files = {"ca": self.ssl_ca, "certificate": self.ssl_cert, "key": self.ssl_key} if self.tls else {}
        return found | {f"ssl.{name}.location": str(file) for name, file in files.items() if file is not None}

    def faust_broker(self) -> str:
        """The broker URL of a Faust app."""
        return ";".join(f"kafka://{host.strip()}" for host in self.bootstrap.split(","))
