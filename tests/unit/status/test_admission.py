"""Which definitions of a service may be applied."""

from typing import Any

import pytest

from schemas.decisions import EntryKind
from schemas.ledger import Accepted, ServiceLedger
from schemas.service import Service
from status.admission import objections
from tests.builders import SERVICE, entry
from tests.unit.status.scene import api, applied, body
from transport.memory_log import MemoryLog


def service(**changes: Any) -> Service:
    return Service.model_validate({**body(SERVICE), **changes})


def without(version: str, **changes: Any) -> Service:
    versions = {name: where for name, where in body(SERVICE)["versions"].items() if name != version}
    return service(versions=versions, **changes)


def read(*kinds: EntryKind) -> ServiceLedger:
    ledger = ServiceLedger()
    for now, kind in enumerate(kinds, start=1):
        ledger, result = ledger.read(entry(kind, ledger.head, now=now), now)
        assert isinstance(result, Accepted)
    return ledger


def test_before_the_first_rollout_the_file_says_which_version_is_the_baseline() -> None:
    assert objections(service(baseline="v3"), read(), [SERVICE]) == []


def test_afterwards_the_ledger_says_it_and_the_way_to_change_it_is_told() -> None:
    assert objections(service(baseline="v3"), read("start", "rollback"), [SERVICE]) == [
        "baseline v3: v1 serves orders by the ledger; write `baseline: v1`, or start a rollout of v3."
    ]
    assert objections(service(baseline="v1"), read("start", "complete"), [SERVICE]) == [
        "baseline v1: v2 serves orders by the ledger; write `baseline: v2`, or davylamp undo orders."
    ]
    assert objections(service(baseline="v2"), read("start", "complete"), [SERVICE]) == []


@pytest.mark.parametrize("kinds", [("start",), ("start", "hold"), ("start", "rollback")])
def test_a_canary_with_sessions_cannot_be_removed(kinds: tuple[EntryKind, ...]) -> None:
    (objection,) = objections(without("v2"), read(*kinds), [SERVICE])
    assert objection.startswith("versions: v2 cannot go while rollout 1 of orders is ")


def test_an_old_baseline_cannot_be_removed_while_it_can_be_returned_to() -> None:
    (objection,) = objections(without("v1", baseline="v2"), read("start", "complete"), [SERVICE])
    assert objection.startswith("versions: v1 cannot go while rollout 1 of orders is completed")


def with_eras(version: str, *eras: str) -> Service:
    versions = body(SERVICE)["versions"]
    return service(versions={**versions, version: {**versions[version], "eras": list(eras)}})


@pytest.mark.parametrize(("kinds", "phase"), [(("start",), "running"), (("start", "hold"), "held")])
def test_what_a_rollouts_versions_speak_cannot_change_under_it(kinds: tuple[EntryKind, ...], phase: str) -> None:
    """Who is drawn follows from it: the canary would get no session any more, and no label."""
    for version in ("v1", "v2"):
        (objection,) = objections(with_eras(version, "stateless"), read(*kinds), [SERVICE])
        assert objection == (
            f"versions: the eras of {version} cannot change while rollout 1 of orders is {phase}: its draw would change; "
            "write `eras: [sessions, stateless]`, or davylamp rollback orders first."
        )


def test_a_rollouts_telemetry_cannot_move_under_it() -> None:
    (objection,) = objections(service(telemetry="mcp-requests.orders"), read("start"), [SERVICE])
    assert objection == (
        "telemetry: it cannot change while rollout 1 of orders is running: nobody would see the canary; "
        "write `telemetry: mcp-requests`, or davylamp rollback orders first."
    )


@pytest.mark.parametrize("kinds", [(), ("start", "rollback"), ("start", "rollback", "drained"), ("start", "complete")])
def test_where_no_rollout_is_live_they_may(kinds: tuple[EntryKind, ...]) -> None:
    baseline = "v2" if "complete" in kinds else "v1"
    moved = with_eras("v2", "sessions").model_copy(update={"telemetry": "mcp-requests.orders", "baseline": baseline})
    assert objections(moved, read(*kinds), [SERVICE]) == []


def test_eras_in_another_order_and_those_of_other_versions_change_no_draw() -> None:
    for same in (with_eras("v2", "stateless", "sessions"), with_eras("v3", "sessions")):
        assert objections(same, read("start"), [SERVICE]) == []


@pytest.mark.parametrize(
    ("kinds", "version", "baseline"),
    [
        (("start",), "v3", "v1"),
        (("start", "rollback", "drained"), "v2", "v1"),
        (("start", "complete", "retire"), "v1", "v2"),
    ],
)
def test_a_version_without_sessions_may_go(kinds: tuple[EntryKind, ...], version: str, baseline: str) -> None:
    assert objections(without(version, baseline=baseline), read(*kinds), [SERVICE]) == []


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, True),
        ({"hosts": ["a.example", "*"]}, True),
        ({"path": "/billing"}, False),
        ({"path": "/mcp/billing"}, False),
        ({"hosts": ["billing.example"]}, False),
    ],
)
def test_two_services_never_share_a_host_and_a_path(changes: dict[str, Any], refused: bool) -> None:  # noqa: FBT001
    found = objections(service(service="billing", **changes), ServiceLedger(), [SERVICE])
    assert found == (
        ["hosts: * with path /mcp belongs to orders already; take another host or path."] if refused else []
    )


def test_host_names_are_the_same_in_capitals() -> None:
    named = service(hosts=["Orders.Example"])
    assert len(objections(service(service="billing", hosts=["orders.example"]), ServiceLedger(), [named])) == 1


async def test_every_objection_is_told_at_once_and_nothing_is_written() -> None:
    log = MemoryLog()
    await applied(log, entry("start"))
    async with api(log) as client:
        put = await client.put("/api/services/orders", json=body(without("v2", baseline="v3")))
        assert put.status_code == 409
        assert [line.split(":")[0] for line in put.json()["detail"].splitlines()] == ["baseline v3", "versions"]
        again = await client.put("/api/services/orders", json=body(SERVICE))
        assert again.status_code == 200
    assert len(log.records("services")) == 2


async def test_what_was_not_read_back_is_not_said_to_be_applied() -> None:
    class Elsewhere(MemoryLog):
        """Takes everything and shows nothing."""

        def reader(self, *topics: Any, since_ms: int | None = None) -> Any:
            return MemoryLog().reader(*topics, since_ms=since_ms)

    async with api(Elsewhere(), answer_within_s=0.01) as client:
        assert (await client.put("/api/services/orders", json=body(SERVICE))).status_code == 504
