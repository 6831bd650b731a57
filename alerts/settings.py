"""Settings of alerts."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    model_validator,
)

from alerts.cause import Limits, Severity
from transport.metrics_port import MetricsSettings

_LIMITS = Limits()

_NOT_LOGGED = "It may carry passwords: it is never logged."


class _Told(BaseModel):
    """Somebody to tell."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: Annotated[SecretStr, Field(min_length=1, description=_NOT_LOGGED)]
    severities: Annotated[
        frozenset[Severity],
        Field(min_length=1, description="What it is told: `page` wakes somebody, `notice` waits for working hours."),
    ] = frozenset({"page", "notice", "info"})
    name: Annotated[
        str | None, Field(pattern=r"^[a-z0-9._-]{1,40}$", description="In logs; else the URL's scheme and a digest.")
    ] = None

    @property
    def label(self) -> str:
        """What it is called: stable as long as name and URL are, and without secrets."""
        url = self.url.get_secret_value()
        digest = hashlib.blake2b(url.encode(), digest_size=4).hexdigest()
        return self.name or f"{url.partition('://')[0].lower()[:20]}-{digest}"


class ReceiverSettings(_Told):
    """Somebody to tell, by a URL of apprise: ``mailto://…``, ``slack://…``, ``pagerduty://…``, ``json://…``."""


def _is_http(url: SecretStr) -> SecretStr:
    try:
        TypeAdapter(AnyHttpUrl).validate_python(url.get_secret_value())
    except ValueError:
        raise ValueError("it is no URL of http or https") from None
    return url


_KEY_BYTES = range(24, 65)
"""By https://www.standardwebhooks.com."""


def _decoded(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix("whsec_"), validate=True)


def _is_key(secret: SecretStr) -> SecretStr:
    try:
        known = len(_decoded(secret.get_secret_value())) in _KEY_BYTES
    except ValueError:
        known = False
    if not known:
        raise ValueError("it is no key of 24 to 64 bytes in base64: openssl rand -base64 32 makes one")
    return secret


class WebhookSettings(_Told):
    """A program to tell: each message is sent to a URL of http or https as JSON, signed as Standard Webhooks say."""

    url: Annotated[SecretStr, AfterValidator(_is_http), Field(description=_NOT_LOGGED)]
    secret: Annotated[
        SecretStr,
        AfterValidator(_is_key),
        Field(description="The key of the signature, in base64; `whsec_` may stand before it."),
    ]

    @property
    def key(self) -> bytes:
        """Of the signature."""
        return _decoded(self.secret.get_secret_value())


def _as_list(value: Any) -> Any:
    """Lists come from the environment as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError('write it as JSON: [{"url": "…", "severities": ["page"]}]') from None


class AlertsSettings(MetricsSettings):
    """The table ``[alerts]``. The log is always told."""

    model_config = ConfigDict(hide_input_in_errors=True)

    receivers: Annotated[
        tuple[ReceiverSettings, ...],
        BeforeValidator(_as_list),
        Field(description="Whom to tell beside the log; in the environment a list in JSON."),
    ] = ()
    webhooks: Annotated[
        tuple[WebhookSettings, ...],
        BeforeValidator(_as_list),
        Field(description="Programs to tell; in the environment a list in JSON."),
    ] = ()
    data_folder: Annotated[Path, Field(description="Where it is remembered what was told.")] = Path(".davylamp/alerts")
    status_url: Annotated[AnyHttpUrl | None, Field(description="Where people find the page: messages link to it.")] = (
        None
    )
    heartbeat_url: Annotated[
        SecretStr | None,
        AfterValidator(lambda url: None if url is None else _is_http(url)),
        Field(
            description="A dead-man's switch (healthchecks.io and the like): asked by GET as long as the ledger is read and every "
            "receiver takes what it is told. It is never logged."
        ),
    ] = None
    heartbeat_interval_s: Annotated[
        float, Field(ge=5, description="How often. Let the switch wait for three of them before it pages.")
    ] = 60.0
    hold_too_long_s: Annotated[
        float, Field(gt=0, description="A hold that lasts so long pages, whatever its cause.")
    ] = _LIMITS.hold_too_long_s
    drift_s: Annotated[
        float, Field(gt=0, description="Some proxy does not run the newest route, while the canary may get sessions.")
    ] = _LIMITS.drift_s
    router_silent_s: Annotated[float, Field(gt=0, description="No router was heard, while a rollout is live.")] = (
        _LIMITS.router_silent_s
    )
    proxies_unknown_s: Annotated[
        float,
        Field(gt=0, description="A router is silent while another speaks: its proxies are unknown, which is drift."),
    ] = _LIMITS.proxies_unknown_s
    blind_s: Annotated[
        float, Field(gt=0, description="The judge does not look. At most; a plan's `blind_after` may be less.")
    ] = _LIMITS.blind_s
    unreadable_s: Annotated[
        float,
        Field(gt=0, description="Telemetry that nobody can read keeps coming; as long without, and it is over."),
    ] = _LIMITS.unreadable_s
    repeat_s: Annotated[
        float,
        Field(
            gt=0,
            description="A page that still burns is told again so often. Data that is missing again sooner after it was back is a "
            "notice.",
        ),
    ] = _LIMITS.repeat_s

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        labels = ["log", *(told.label for told in (*self.receivers, *self.webhooks))]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f"receivers: {', '.join(twice)} is there twice; give each a name of its own")
        return self

    @property
    def limits(self) -> Limits:
        """What the fold needs."""
        return Limits(
            hold_too_long_s=self.hold_too_long_s,
            drift_s=self.drift_s,
            router_silent_s=self.router_silent_s,
            proxies_unknown_s=self.proxies_unknown_s,
            blind_s=self.blind_s,
            unreadable_s=self.unreadable_s,
            repeat_s=self.repeat_s,
        )
