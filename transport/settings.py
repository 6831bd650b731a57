"""Settings: one frozen model a service, from the TOML file that `DAVYLAMP_CONFIG` names and the environment; unknown keys are refused."""

import logging
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FilePath, SecretStr, ValidationError, model_validator

CONFIG_VARIABLE = "DAVYLAMP_CONFIG"


class SettingsError(Exception):
    """A setting is not understood."""


class Settings(BaseModel):
    """The base of a service's settings.

    ``streams.window_s`` is ``window_s`` in the table ``[streams]`` of the TOML file that ``DAVYLAMP_CONFIG`` names,
    overruled by ``DAVYLAMP_STREAMS_WINDOW_S``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def load(cls, table: str, environ: Mapping[str, str] | None = None) -> Self:
        """Read the table once. Raises :class:`SettingsError` that names each key and what is wrong with it."""
        env = os.environ if environ is None else environ
        prefix = f"DAVYLAMP_{table.upper()}_"
        values = _toml(env.get(CONFIG_VARIABLE)).get(table, {})
        values |= {name.removeprefix(prefix).lower(): value for name, value in env.items() if name.startswith(prefix)}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            listed = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise SettingsError(f"[{table}] {listed} (in {CONFIG_VARIABLE} or as {prefix}…)") from error


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
