"""Who may do what on Kafka: one principal a component, from who writes and reads each topic. Pure but for :func:`apply`."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from schemas.topics import TopicSpec
from transport.administrator import administrator
from transport.kafka_log import READER_GROUP
from transport.settings import KafkaSettings

Component = Literal["sdk", "streams", "judge", "router", "alerts", "status", "people", "otel-bridge"]
"""`people` are those who ask the log itself: `davylamp verify`, `record`, `replay` and `dlq`."""
COMPONENTS: tuple[Component, ...] = get_args(Component)
BRIDGE: Component = "otel-bridge"
"""Runs only where servers are traced and have no SDK of ours."""
MEMBERS: frozenset[Component] = frozenset({"streams", "judge", BRIDGE})
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
        """`name` is the beginning of what is allowed: a Faust app names its groups, a bridge has its own name in its id."""
        return self.kind != "topic" and self.name != REPLAYS

    def command(self, bootstrap: str) -> str:
        """The line for ``kafka-acls.sh``."""
        pattern = ["--resource-pattern-type", "prefixed"] if self.prefixed else []
        words = ["kafka-acls.sh", "--bootstrap-server", bootstrap, "--add", "--allow-principal", self.principal]
        return shlex.join(
            [*words, "--operation", self.operation.title(), f"--{self.kind.replace('_', '-')}", self.name, *pattern]
        )


def acls(
    topics: Mapping[Any, TopicSpec],
    principals: Mapping[Component, str],
    telemetry: str = TELEMETRY,
    spans: str | None = None,
) -> tuple[Acl, ...]:
    """What the components need and nothing else, in the order of the components.

    WRITE on a topic includes its idempotent producers (KIP-679). Readers assign partitions themselves, but librdkafka
    asks for the coordinator of the group that they name; a Faust app is a member of its own. `telemetry` is the topic that these servers write to: one of their own
    where teams do not trust each other. `spans` is the topic that a bridge reads; without it there is no bridge, which
    sends and commits in transactions (KIP-98: WRITE on the id, READ on the group).
    """
    found = {component: set(_of(component, topics, principals[component], telemetry)) for component in COMPONENTS}
    if spans is None:
        del found[BRIDGE]
    else:
        found[BRIDGE] |= {
            Acl(principals[BRIDGE], "READ", "topic", spans),
            Acl(principals[BRIDGE], "WRITE", "transactional_id", GROUP_PREFIX + BRIDGE),
        }
        found["people"].add(Acl(principals["people"], "WRITE", "topic", spans))  # dead letters sent again
    return tuple(acl for component in found for acl in sorted(found[component]))


def _of(component: Component, topics: Mapping[Any, TopicSpec], principal: str, telemetry: str) -> Iterator[Acl]:
    for spec in topics.values():
        name = telemetry if spec.name == TELEMETRY else spec.name
        if component in _components(spec.read_by):
            yield Acl(principal, "READ", "topic", name)
        if component in _components(spec.written_by):
            yield Acl(principal, "WRITE", "topic", name)
    if any(component in _components(spec.read_by) for spec in topics.values()):
        yield Acl(principal, "READ", "group", READER_GROUP)
    if component in MEMBERS:
        yield Acl(principal, "READ", "group", GROUP_PREFIX + component)
    if component == "people":
        yield Acl(principal, "WRITE", "transactional_id", REPLAYS)


def _components(named: tuple[str, ...]) -> set[str]:
    """`status (a person's rollback)` is status."""
    return {name.split(" ")[0] for name in named}


def apply(settings: KafkaSettings, wanted: tuple[Acl, ...], answer_s: float = 10.0) -> None:
    """Create them; those that are there already stay. Raises :class:`AclError` with what the cluster said."""
    with administrator(settings, "davylamp-acls", AclError) as admin:
        for created in admin.create_acls([_binding(acl) for acl in wanted], request_timeout=answer_s).values():
            created.result()


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
