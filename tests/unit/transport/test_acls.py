"""Who may do what on Kafka follows from the topics' own data, and from nothing else."""

from cli.dead_letters import DEAD_LETTERS
from judge.fold import TOPICS
from schemas.topics import load_topics
from streams import otel_bridge
from transport.acls import COMPONENTS, TELEMETRY, Acl, Component, acls

PRINCIPALS: dict[Component, str] = {component: f"User:{component}" for component in COMPONENTS}
SPANS = "otlp_spans"
WANTED = acls(load_topics(), PRINCIPALS, spans=SPANS)


def allowed(component: Component, operation: str) -> set[str]:
    mine = (a for a in WANTED if a.principal == f"User:{component}" and a.kind == "topic")
    return {a.name for a in mine if a.operation == operation}


def test_nobody_but_judge_status_and_router_may_write_the_ledger() -> None:
    assert {c for c in COMPONENTS if "rollout-decisions" in allowed(c, "WRITE")} == {"judge", "status", "router"}


def test_a_server_may_send_telemetry_and_follow_its_rollouts_and_nothing_else() -> None:
    assert allowed("sdk", "WRITE") == {"mcp-requests"}
    assert allowed("sdk", "READ") == {"rollouts", "rollout-decisions"}


def test_people_may_read_what_verify_and_record_read_and_write_nothing_but_dead_letters_again() -> None:
    """`davylamp dlq replay` sends telemetry again, and leaves a note beside the dead letter."""
    assert allowed("people", "READ") == {*TOPICS, TELEMETRY, DEAD_LETTERS}
    assert allowed("people", "WRITE") == {TELEMETRY, SPANS, DEAD_LETTERS}


def test_of_transactions_people_may_begin_those_that_send_dead_letters_again() -> None:
    (only,) = (a for a in WANTED if a.kind == "transactional_id" and a.principal == "User:people")
    assert only.command("kafka:9093").endswith("User:people --operation Write --transactional-id davylamp-dlq")


def test_every_component_may_do_something_and_every_topic_is_read_and_written() -> None:
    assert {a.principal for a in WANTED} == set(PRINCIPALS.values())
    for topic in load_topics():
        assert any(topic in allowed(c, "WRITE") for c in COMPONENTS)
        assert any(topic in allowed(c, "READ") for c in COMPONENTS)


def test_a_bridge_may_read_spans_and_write_telemetry_in_transactions_of_its_own() -> None:
    mine = {(a.operation, a.kind, a.name, a.prefixed) for a in WANTED if a.principal == "User:otel-bridge"}
    assert mine == {
        ("READ", "topic", SPANS, False),
        ("WRITE", "topic", TELEMETRY, False),
        ("WRITE", "topic", DEAD_LETTERS, False),
        ("READ", "group", otel_bridge.GROUP, True),
        ("WRITE", "transactional_id", otel_bridge.GROUP, True),
    }


def test_where_nobody_has_spans_a_bridge_may_do_nothing_and_the_others_the_same() -> None:
    without = acls(load_topics(), PRINCIPALS)
    assert without == tuple(a for a in WANTED if a.principal != "User:otel-bridge" and a.name != SPANS)


def test_members_may_join_the_groups_that_begin_with_their_names() -> None:
    groups = [a for a in WANTED if a.kind == "group"]
    assert all(a.prefixed for a in groups)
    assert [(a.principal, a.name, a.prefixed) for a in groups if a.name != "davylamp-reader-"] == [
        ("User:streams", "davylamp-streams", True),
        ("User:judge", "davylamp-judge", True),
        ("User:otel-bridge", "davylamp-otel-bridge", True),
    ]


def test_whoever_reads_may_name_a_group_that_nobody_joins() -> None:
    readers = {a.principal for a in WANTED if a.name == "davylamp-reader-"}
    assert readers == {f"User:{c}" for c in COMPONENTS if c != "otel-bridge"}


def test_a_telemetry_topic_of_ones_own_takes_the_place_of_the_common_one() -> None:
    own = acls(load_topics(), PRINCIPALS, "mcp-requests.orders")
    assert {a.name for a in own if a.principal == "User:sdk" and a.operation == "WRITE"} == {"mcp-requests.orders"}
    assert "mcp-requests" not in {a.name for a in own}


def test_a_command_is_one_line_that_a_shell_reads_as_it_is_meant() -> None:
    acl = Acl("User:CN=judge, O=Ours", "READ", "group", "davylamp-judge")
    assert acl.command("kafka:9093") == (
        "kafka-acls.sh --bootstrap-server kafka:9093 --add --allow-principal 'User:CN=judge, O=Ours' "
        "--operation Read --group davylamp-judge --resource-pattern-type prefixed"
    )
