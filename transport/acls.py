"""Who may do what on Kafka: one principal a component, from who writes and reads each topic. Pure but for :func:`apply`."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from schemas.topics import TopicSpec
from transport.kafka_log import READER_GROUP
from transport.settings import KafkaSettings

Component = Literal["sdk", "streams", "judge", "router", "alerts", "status", "people"]
"""`people` are those who ask the log itself: `davylamp verify`, `record`, `replay` and `dlq`."""
COMPONENTS: tuple[Component, ...] = get_args(Component)
FAUST_APPS: frozenset[Component] = frozenset({"streams", "judge"})
"""They are members of consumer groups; all others only name one."""
GROUP_PREFIX = "davylamp-"
TELEMETRY = "mcp-requests"
REPLAYS = "davylamp-dlq"
"""Transactional id of whoever sends dead letters again: there is one at a time."""

Operation = Literal["READ", "WRITE"]
"""Either implies DESCRIBE (Kafka, "Authorization and ACLs")."""


class AclError(Exception):
    """The cluster did not take the ACLs."""


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """One thing that one principal is allowed, from any host."""

    principal: str
    """As Kafka writes it: ``User:judge``."""
    operation: Operation
    kind: Literal["topic", "group", "transactional_id"]
    name: str

    @property
    def prefixed(self) -> bool:
        """`name` is the beginning of what is allowed: a Faust app names its groups."""
        return self.kind == "group"

    def command(self, bootstrap: str) -> str:
        """The line for ``kafka-acls.sh``."""
        pattern = ["--resource-pattern-type", "prefixed"] if self.prefixed else []
        words = ["kafka-acls.sh", "--bootstrap-server", bootstrap, "--add", "--allow-principal", self.principal]
        return shlex.join(
            [*words, "--operation", self.operation.title(), f"--{self.kind.replace('_', '-')}", self.name, *pattern]
        )


def acls(
    topics: Mapping[Any, TopicSpec], principals: Mapping[Component, str], telemetry: str = TELEMETRY
) -> tuple[Acl, ...]:
    """What the components need and nothing else, in the order of the components.

    WRITE on a topic includes its idempotent producers (KIP-679). Readers assign partitions themselves, but librdkafka
    asks for the coordinator of the group that they name; a Faust app is a member of its own. `telemetry` is the topic that these servers write to: one of their own
    where teams do not trust each other.
    """
    return tuple(
        acl for component in COMPONENTS for acl in sorted(_of(component, topics, principals[component], telemetry))
    )


def _of(component: Component, topics: Mapping[Any, TopicSpec], principal: str, telemetry: str) -> Iterator[Acl]:
    for spec in topics.values():
        name = telemetry if spec.name == TELEMETRY else spec.name
        if component in _components(spec.read_by):
            yield Acl(principal, "READ", "topic", name)
        if component in _components(spec.written_by):
            yield Acl(principal, "WRITE", "topic", name)
    if any(component in _components(spec.read_by) for spec in topics.values()):
        yield Acl(principal, "READ", "group", READER_GROUP)
    if component in FAUST_APPS:
        yield Acl(principal, "READ", "group", GROUP_PREFIX + component)
    if component == "people":
        yield Acl(principal, "WRITE", "transactional_id", REPLAYS)


def _components(named: tuple[str, ...]) -> set[str]:
    """`status (a person's rollback)` is status."""
    return {name.split(" ")[0] for name in named}


def apply(settings: KafkaSettings, wanted: tuple[Acl, ...], answer_s: float = 10.0) -> None:
    """Create them; those that are there already stay. Raises :class:`AclError` with what the cluster said."""
    try:
        with AdminClient(settings.librdkafka("davylamp-acls") | {"log_level": 0}) as admin:
            for created in admin.create_acls([_binding(acl) for acl in wanted], request_timeout=answer_s).values():
                created.result()
    except KafkaException as error:
        raise AclError(f"Kafka at {settings.bootstrap}: {error.args[0].str()}") from error


def _binding(acl: Acl) -> AclBinding:
    return AclBinding(
        ResourceType[acl.kind.upper()],
        acl.name,
        ResourcePatternType.PREFIXED if acl.prefixed else ResourcePatternType.LITERAL,
        acl.principal,
        "*",
        AclOperation[acl.operation],
        AclPermissionType.ALLOW,
    )
