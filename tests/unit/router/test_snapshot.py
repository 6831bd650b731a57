"""Routes as a function of the ledger: a table of situations, and properties over any ledger."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.rollouts import Pair, baking, living, rolled_back, rollouts
from router.snapshot import Offsets, ServiceRoute, Weight, service_route, snapshot
from schemas.decisions import EntryKind, Opening
from schemas.labels import Kind, Label, salt
from schemas.ledger import Accepted, Ledger, ServiceLedger
from schemas.plan import HoldMode, Plan
from schemas.service import Era, Service
from schemas.units import FULL_SHARE
from tests.builders import entry

SEEDS = {n: f"{n:032x}" for n in range(40)}


def service(
    *versions: str,
    name: str = "orders",
    baseline: str = "v1",
    port: int = 8001,
    assign: tuple[Kind, ...] = ("session", "principal"),
) -> Service:
    places = {v: {"endpoints": [f"127.0.0.1:{port + i}"]} for i, v in enumerate(versions)}
    return Service.model_validate({"service": name, "baseline": baseline, "versions": places, "assign": assign})


ORDERS = service("v1", "v2", "v3")
STRAY = entry("start", now=999)
"""An entry that is in nobody's ledger: what follows it is void."""


@dataclass
class Story:
    """A ledger that is written step by step."""

    ledger: Ledger = field(default_factory=Ledger)
    of: Service = ORDERS
    """What each start embeds."""
    rollout: int = 0
    baseline: str = "v1"
    canary: str = "v2"
    now: int = 0
    approve: tuple[str, ...] = ()

    @property
    def chain(self) -> ServiceLedger:
        return self.ledger.of("orders")

    def write(self, kind: EntryKind, stage: int, share: int, *, stale: bool = False, mode: HoldMode = "drain") -> bool:
        self.now += 1
        plan = Plan(service="orders", canary=self.canary, approve=self.approve)
        opening = Opening(plan=plan, service=self.of, seed=SEEDS[self.rollout])
        written = entry(
            kind,
            STRAY if stale else self.chain.head,
            now=self.now,
            rollout=self.rollout,
            stage=stage,
            share=share,
            baseline=self.baseline,
            canary=self.canary,
            hold_mode=mode,
            opening=opening if kind == "start" else None,
            approves="start" if kind == "approve" else None,
        )
        self.ledger, result = self.ledger.read(written, self.now)
        return isinstance(result, Accepted)

    def start(self, canary: str = "v2", *, waits: bool = False) -> "Story":
        self.baseline, self.canary = self.chain.baseline or "v1", canary
        self.rollout += 1
        self.approve = ("start",) if waits else ()
        return self.then("start", 0 if waits else 1, 0 if waits else 100)

    def then(self, kind: EntryKind, stage: int, share: int, mode: HoldMode = "drain") -> "Story":
        assert self.write(kind, stage, share, mode=mode)
        return self

    def proceed(self, stage: int, share: int) -> "Story":
        return self.then("proceed", stage, share)

    def hold(self, stage: int, share: int) -> "Story":
        return self.then("hold", stage, share)

    def roll_back(self, stage: int = 1, mode: HoldMode = "drain") -> "Story":
        return self.then("rollback", stage, 0, mode)

    def drain(self, stage: int = 1) -> "Story":
        return self.then("drained", stage, 0)

    def complete(self) -> "Story":
        return self.then("complete", 4, FULL_SHARE)

    def retire(self) -> "Story":
        return self.then("retire", 4, FULL_SHARE)

    def note(self, kind: EntryKind) -> "Story":
        """An entry that changes nothing about routes."""
        standing = self.chain.standing
        return self.then(kind, standing.stage, standing.share)


def label(rollout: int, stage: int, version: str, kind: Kind = "session") -> str:
    return str(Label.make(SEEDS[rollout], rollout, stage, version, kind))


def pairs(rollout: int, stages: int, *versions: str, kinds: tuple[Kind, ...] = ("session", "principal")) -> set[Pair]:
    stage_numbers = range(1, stages + 1)
    return {Pair(v, label(rollout, stage, v, kind)) for stage in stage_numbers for v in versions for kind in kinds}


def route_of(story: Story, current: Service | None = ORDERS) -> ServiceRoute:
    route = service_route(story.chain, current)
    assert route is not None
    return route


ALL_TO_V1 = (Weight("v1", "-", 10_000),)
ALL_TO_V2 = (Weight("v2", "-", 10_000),)


@pytest.mark.parametrize(
    ("tell", "weights", "living", "unlabelled"),
    [
        pytest.param(lambda s: s, ALL_TO_V1, set(), ("v1",), id="no rollout yet"),
        pytest.param(
            lambda s: s.start(),
            (Weight("v2", label(1, 1, "v2"), 100), Weight("v1", label(1, 1, "v1"), 9_900)),
            pairs(1, 3, "v1", "v2"),
            ("v1",),
            id="first stage",
        ),
        pytest.param(
            lambda s: s.start().proceed(2, 1_000),
            (Weight("v2", label(1, 2, "v2"), 1_000), Weight("v1", label(1, 2, "v1"), 9_000)),
            pairs(1, 3, "v1", "v2"),
            ("v1",),
            id="second stage, sessions of the first live on",
        ),
        pytest.param(
            lambda s: s.start().proceed(2, 1_000).hold(2, 1_000),
            (Weight("v2", label(1, 2, "v2"), 1_000), Weight("v1", label(1, 2, "v1"), 9_000)),
            pairs(1, 3, "v1", "v2"),
            ("v1",),
            id="a hold keeps the share",
        ),
        pytest.param(
            lambda s: s.start().proceed(2, 1_000).roll_back(2),
            ALL_TO_V1,
            pairs(1, 2, "v2"),
            ("v1",),
            id="rolled back, the canary's sessions drain",
        ),
        pytest.param(
            lambda s: s.start().proceed(2, 1_000).proceed(3, 5_000).complete(),
            ALL_TO_V2,
            set(),
            ("v2", "v1"),
            id="completed, the old baseline's sessions live on",
        ),
        pytest.param(
            lambda s: s.start().proceed(2, 1_000).proceed(3, 5_000),
            (Weight("v2", label(1, 3, "v2"), 5_000), Weight("v1", label(1, 3, "v1"), 5_000)),
            pairs(1, 3, "v1", "v2"),
            ("v1",),
            id="last stage, nobody can choose what only 100 % gives out",
        ),
        pytest.param(
            lambda s: s.start(waits=True),
            ALL_TO_V1,
            pairs(1, 3, "v1", "v2"),
            ("v1",),
            id="waiting for a person's word",
        ),
        pytest.param(
            lambda s: s.start(waits=True).note("approve"),
            ALL_TO_V1,
            pairs(1, 3, "v1", "v2"),
            ("v1",),
            id="approved, not yet begun",
        ),
        pytest.param(
            lambda s: s.start(waits=True).note("approve").proceed(1, 100).hold(1, 100).note("freeze"),
            (Weight("v2", label(1, 1, "v2"), 100), Weight("v1", label(1, 1, "v1"), 9_900)),
            pairs(1, 3, "v1", "v2"),
            ("v1",),
            id="held and frozen, the share stays",
        ),
        pytest.param(
            lambda s: s.start().note("freeze").roll_back().note("unfreeze"),
            ALL_TO_V1,
            pairs(1, 1, "v2"),
            ("v1",),
            id="freezing and unfreezing end no drain",
        ),
        pytest.param(lambda s: s.start().roll_back().drain(), ALL_TO_V1, set(), ("v1",), id="drained"),
        pytest.param(lambda s: s.start().roll_back(mode="evict"), ALL_TO_V1, set(), ("v1",), id="evicted"),
        pytest.param(
            lambda s: s.start().roll_back().start("v3").roll_back().drain(),
            ALL_TO_V1,
            set(),
            ("v1",),
            id="a later drain's end is also an earlier one's",
        ),
        pytest.param(
            lambda s: s.start().complete().note("freeze"), ALL_TO_V2, set(), ("v2", "v1"), id="frozen while baking"
        ),
        pytest.param(
            lambda s: s.start().complete().start("v3").roll_back().drain(),
            ALL_TO_V2,
            set(),
            ("v2", "v1"),
            id="a drain's end is not an older baseline's",
        ),
        pytest.param(
            lambda s: s.start().complete().start("v3").complete().retire(),
            (Weight("v3", "-", 10_000),),
            set(),
            ("v3",),
            id="a later promotion's end is also an earlier one's",
        ),
        pytest.param(lambda s: s.start().complete().retire(), ALL_TO_V2, set(), ("v2",), id="retired"),
        pytest.param(
            lambda s: s.start().complete().roll_back(4, "evict"), ALL_TO_V1, set(), ("v1",), id="undone and evicted"
        ),
        pytest.param(
            lambda s: s.start().complete().roll_back(4),
            ALL_TO_V1,
            pairs(1, 3, "v2") | {Pair("v2", "-")},
            ("v1",),
            id="undone, sessions born at 100 % drain, too",
        ),
        pytest.param(
            lambda s: s.start().roll_back().start("v3"),
            (Weight("v3", label(2, 1, "v3"), 100), Weight("v1", label(2, 1, "v1"), 9_900)),
            pairs(1, 1, "v2") | pairs(2, 3, "v1", "v3"),
            ("v1",),
            id="the next canary while the last one drains",
        ),
        pytest.param(
            lambda s: s.start().complete().start("v3"),
            (Weight("v3", label(2, 1, "v3"), 100), Weight("v2", label(2, 1, "v2"), 9_900)),
            pairs(2, 3, "v2", "v3"),
            ("v2", "v1"),
            id="the next canary on the new baseline",
        ),
        pytest.param(
            lambda s: s.start().roll_back().start("v2"),
            (Weight("v2", label(2, 1, "v2"), 100), Weight("v1", label(2, 1, "v1"), 9_900)),
            pairs(1, 1, "v2") | pairs(2, 3, "v1", "v2"),
            ("v1",),
            id="the same canary again, with labels of its own",
        ),
    ],
)
def test_each_situation_of_the_ledger_has_its_route(
    tell: Callable[[Story], Story], weights: tuple[Weight, ...], living: set[Pair], unlabelled: tuple[str, ...]
) -> None:
    route = route_of(tell(Story()))
    assert route.weights == weights
    assert set(route.pairs) == living
    assert len(route.pairs) == len(living)
    assert route.unlabelled == unlabelled


ALL_KINDS: tuple[Kind, ...] = ("session", "cookie", "principal")
KEEN = service("v1", "v2", "v3", assign=ALL_KINDS)


def drawn(route: ServiceRoute) -> dict[Kind, tuple[Weight, ...]]:
    return {"session": route.weights, "cookie": route.cookies, "principal": route.principals}


def test_every_kind_is_drawn_by_the_same_shares_with_labels_of_its_own() -> None:
    route = route_of(Story(of=KEEN).start().proceed(2, 1_000), KEEN)
    for kind, weights in drawn(route).items():
        shares = ((1_000, "v2"), (9_000, "v1"))
        assert weights == tuple(Weight(v, label(1, 2, v, kind), share) for share, v in shares)
    assert set(route.pairs) == pairs(1, 3, "v1", "v2", kinds=ALL_KINDS)
    assert route.salt == salt(SEEDS[1])


@pytest.mark.parametrize("assign", [("session",), ("principal",), ("cookie", "principal")])
def test_only_what_a_service_assigns_by_is_drawn(assign: tuple[Kind, ...]) -> None:
    one = service("v1", "v2", "v3", assign=assign)
    route = route_of(Story(of=one).start(), one)
    assert tuple(kind for kind, weights in drawn(route).items() if weights) == assign
    assert set(route.pairs) == pairs(1, 3, "v1", "v2", kinds=assign)


@pytest.mark.parametrize(
    "tell",
    [
        lambda s: s,
        lambda s: s.start(waits=True),
        lambda s: s.start().roll_back(),
        lambda s: s.start().roll_back().drain(),
    ],
)
def test_without_a_share_every_kind_is_the_baselines(tell: Callable[[Story], Story]) -> None:
    route = route_of(tell(Story(of=KEEN)), KEEN)
    assert set(drawn(route).values()) == {ALL_TO_V1}


def test_each_rollout_has_a_salt_of_its_own_that_does_not_tell_the_seed() -> None:
    first, second = (route_of(s).salt for s in (Story().start(), Story().start().roll_back().start()))
    assert first != second
    assert not set(SEEDS.values()) & {first, second}
    assert route_of(Story().start().roll_back()).salt == ""


def test_a_rollout_goes_on_with_the_kinds_of_its_start_however_the_service_is_edited() -> None:
    story = Story().start()
    assert drawn(route_of(story, KEEN))["cookie"] == ()
    assert set(route_of(story.roll_back(), KEEN).pairs) == pairs(1, 1, "v2")
    assert drawn(route_of(story, KEEN))["cookie"] == ALL_TO_V1


def speaking(**eras: list[Era]) -> Service:
    body = service(*eras, baseline=next(iter(eras))).model_dump()
    versions = {name: {**place, "eras": eras[name]} for name, place in body["versions"].items()}
    return Service.model_validate({**body, "versions": versions})


@pytest.mark.parametrize(
    ("tell", "served"),
    [
        pytest.param(lambda s: s, False, id="the baseline does not speak it"),
        pytest.param(lambda s: s.start(), False, id="running"),
        pytest.param(lambda s: s.start(waits=True), False, id="waiting for a person's word"),
        pytest.param(lambda s: s.start().complete(), False, id="completed, and may be undone"),
        pytest.param(lambda s: s.start().complete().retire(), True, id="only the new version is left"),
        pytest.param(lambda s: s.start().complete().retire().start("v3"), False, id="the next one does not speak it"),
        pytest.param(lambda s: s.start().complete().retire().start("v3").roll_back(), True, id="and is gone again"),
    ],
)
def test_the_protocol_without_sessions_is_served_while_all_speak_it(
    tell: Callable[[Story], Story],
    served: bool,  # noqa: FBT001
) -> None:
    mixed = speaking(v1=["sessions"], v2=["sessions", "stateless"], v3=["sessions"])
    assert route_of(tell(Story(of=mixed)), mixed).stateless is served


def test_versions_that_left_the_service_have_no_say() -> None:
    left = speaking(v2=["sessions", "stateless"], v3=["sessions"])
    mixed = speaking(v1=["sessions"], v2=["sessions", "stateless"])
    assert route_of(Story(of=mixed).start().complete(), left).stateless is True


def test_a_canary_that_does_not_begin_sessions_is_given_none() -> None:
    mixed = speaking(v1=["sessions", "stateless"], v2=["stateless"])
    route = route_of(Story(of=mixed).start(), mixed)
    assert route.weights == ALL_TO_V1
    assert [w.weight for w in route.principals] == [100, 9_900]


def moved(story: Story) -> tuple[set[Pair], str]:
    route = route_of(story)
    assert len(route.rehomed) == len(set(route.rehomed))
    return set(route.rehomed), route.home


def test_a_rehomed_canarys_sessions_are_the_baselines_from_then_on() -> None:
    story = Story().start().proceed(2, 1_000).roll_back(2, "rehome")
    assert route_of(story).pairs == ()
    assert moved(story) == (pairs(1, 2, "v2"), "v1")
    assert moved(story.drain(2)) == (pairs(1, 2, "v2"), "v1")


def test_rehomed_sessions_follow_the_baseline_until_a_later_rollout_ends() -> None:
    story = Story().start().roll_back(mode="rehome").start("v3")
    assert moved(story) == (pairs(1, 1, "v2"), "v1")
    assert moved(story.complete()) == (pairs(1, 1, "v2"), "v3")
    assert moved(story.retire())[0] == set()


def test_an_undone_promotion_rehomes_the_sessions_that_were_born_at_100_percent_too() -> None:
    story = Story().start().complete().roll_back(4, "rehome")
    assert moved(story) == (pairs(1, 3, "v2") | {Pair("v2", "-")}, "v1")


def test_sessions_are_not_rehomed_to_the_version_that_they_have() -> None:
    assert moved(Story().start().roll_back(mode="rehome").start("v2").complete())[0] == set()


@pytest.mark.parametrize("mode", ["drain", "evict"])
def test_only_a_rehoming_rehomes(mode: HoldMode) -> None:
    assert moved(Story().start().roll_back(mode=mode))[0] == set()


def test_a_route_to_the_home_of_the_rehomed_references_it() -> None:
    assert route_of(Story().start().roll_back(mode="rehome")).referenced == {"orders.v1"}


def test_a_freeze_before_the_first_rollout_changes_no_route() -> None:
    assert route_of(Story().note("freeze")).weights == ALL_TO_V1


def test_a_route_names_the_entry_it_follows() -> None:
    story = Story().start()
    assert route_of(story).entry == story.chain.head_id
    assert route_of(Story()).entry == ""


def test_the_ledger_owns_the_baseline_once_there_was_a_rollout() -> None:
    edited = ORDERS.model_copy(update={"baseline": "v3"})
    assert route_of(Story(), edited).weights == (Weight("v3", "-", 10_000),)
    assert route_of(Story().start().roll_back(), edited).weights == ALL_TO_V1


def test_a_drained_version_that_left_the_service_is_no_longer_routed() -> None:
    without_v2 = service("v1", "v3")
    assert route_of(Story().start().roll_back(), without_v2).pairs == ()
    assert route_of(Story().start().complete(), service("v2", "v3", baseline="v2")).unlabelled == ("v2",)


def test_a_running_rollout_keeps_the_places_of_versions_that_were_edited_out() -> None:
    moved = service("v1", "v3", port=9001)
    route = route_of(Story().start(), moved)
    assert route.versions["v2"] == ORDERS.versions["v2"]
    assert route.versions["v1"] == moved.versions["v1"]
    assert "v2" not in route_of(Story().start().roll_back(), moved).versions


def test_a_rollout_of_a_service_without_a_file_uses_the_one_that_it_embeds() -> None:
    assert route_of(Story().start(), None).versions == dict(ORDERS.versions)


def test_nobody_is_routed_to_a_service_that_nobody_has_described() -> None:
    assert service_route(ServiceLedger(), None) is None
    voided = Story()
    voided.rollout = 1
    assert not voided.write("rollback", 1, 0)
    assert snapshot(voided.ledger, {}, Offsets()).routes == {}


def test_the_versions_of_a_snapshot_sort_as_the_offsets_do() -> None:
    early = snapshot(Ledger(), {"orders": ORDERS}, Offsets(ledger=9, services=3))
    late = snapshot(Ledger(), {"orders": ORDERS}, Offsets(ledger=10, services=3))
    assert early.version == "00000000000000000009-00000000000000000003"
    assert early.version < late.version
    assert early.clusters_version == "00000000000000000003"


def test_clusters_are_named_by_service_and_version_and_sorted() -> None:
    both = {"orders": ORDERS, "billing": service("v9", name="billing", baseline="v9", port=9001)}
    found = snapshot(Ledger(), both, Offsets())
    assert list(found.clusters) == ["billing.v9", "orders.v1", "orders.v2", "orders.v3"]
    assert found.referenced == {"billing.v9", "orders.v1"}


def test_a_snapshot_does_not_depend_on_the_order_in_which_services_came() -> None:
    other = service("v9", name="billing", baseline="v9")
    one = snapshot(Story().start().ledger, {"orders": ORDERS, "billing": other}, Offsets())
    two = snapshot(Story().start().ledger, {"billing": other, "orders": ORDERS}, Offsets())
    assert list(one.routes) == list(two.routes) == ["billing", "orders"]
    assert one == two


def test_a_canary_whose_start_nobody_has_seen_gets_no_sessions() -> None:
    story = Story(rollout=1)
    assert not story.write("proceed", 1, 300)
    assert route_of(story).weights == ALL_TO_V1


def test_a_share_that_is_not_the_plans_is_nobodys() -> None:
    story = Story().start()
    assert not story.write("proceed", 2, 700)
    assert not story.write("proceed", 999_999, FULL_SHARE)
    assert sum(w.weight for w in route_of(story).weights if w.version == "v2") == 100


Step = tuple[EntryKind, int, bool]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "proceed", "hold", "resume", "rollback", "drained", "complete", "retire"]),
        st.integers(1, 3),
        st.booleans(),
    ),
    max_size=14,
)


def told(steps: list[Step]) -> Story:
    """Any log whose entries keep to the plan; some follow the wrong one, or come at the wrong time, and are void."""
    story = Story().start()
    for kind, choice, stale in steps:
        before = story.rollout, story.baseline, story.canary
        if kind == "start":
            story.rollout, story.baseline = story.rollout + 1, story.chain.baseline or "v1"
            candidates = (*("v1", "v2", "v3")[choice - 1 :], "v2", "v1")
            story.canary = next(v for v in candidates if v != story.baseline)
        if not story.write(kind, *step_of(kind, story.chain), stale=stale):
            story.rollout, story.baseline, story.canary = before
    return story


def step_of(kind: EntryKind, chain: ServiceLedger) -> tuple[int, int]:
    """The stage and share that the document's plan has for it: 1 %, 10 %, 50 %."""
    standing = chain.standing
    shares = [0, 100, 1_000, 5_000, FULL_SHARE, FULL_SHARE]
    exact = {"start": (1, 100), "rollback": (standing.stage, 0), "complete": (4, FULL_SHARE)}
    stage = standing.stage + 1
    return exact.get(kind, (stage, shares[stage]) if kind == "proceed" else (standing.stage, standing.share))


@given(STEPS)
def test_weights_sum_to_ten_thousand_and_the_canary_gets_the_share_of_the_head(steps: list[Step]) -> None:
    story = told(steps)
    route, head = route_of(story), story.chain.head
    assert sum(w.weight for w in route.weights) == FULL_SHARE
    assert all(w.weight > 0 for w in route.weights)
    assert head is not None
    assert sum(w.weight for w in route.weights if w.version == head.canary) == head.share
    assert head.share == 0 or route.weights[0].version == head.canary


@given(STEPS)
def test_no_new_session_reaches_a_canary_that_was_rolled_back(steps: list[Step]) -> None:
    story = told(steps)
    story.write("rollback", 1, 0)
    if story.chain.standing.phase in ("rolled_back", "drained"):
        assert [w.version for w in route_of(story).weights] == [story.chain.standing.baseline]


@given(STEPS)
def test_every_session_that_is_born_can_come_back(steps: list[Step]) -> None:
    route = route_of(told(steps))
    for weight in (*route.weights, *route.principals):
        assert Pair(weight.version, weight.label) in route.pairs or weight.version in route.unlabelled


def test_a_session_of_a_stage_is_known_to_proxies_that_have_not_taken_it_yet() -> None:
    story = Story().start()
    rises: tuple[Callable[[], Story], ...] = (
        lambda: story.proceed(2, 1_000),
        lambda: story.proceed(3, 5_000),
    )
    for rise in rises:
        slow, fast = route_of(story), route_of(rise())
        for born in (*fast.weights, *fast.principals):
            assert Pair(born.version, born.label) in slow.pairs or born.version in slow.unlabelled


@given(STEPS)
def test_only_pairs_that_some_rollout_gives_out_are_live(steps: list[Step]) -> None:
    story = told(steps)
    given_out = {Pair(e.canary, "-") for e in story.chain.entries if e.kind == "complete"}
    for e in story.chain.entries:
        given_out |= pairs(e.rollout, 3, e.baseline, e.canary)
    assert set(route_of(story).pairs) <= given_out


@given(STEPS)
def test_a_running_canary_takes_no_foreign_label_unless_it_once_was_the_baseline(steps: list[Step]) -> None:
    story = told(steps)
    head, route = story.chain.head, route_of(story)
    once = {"v1"} | {e.baseline for e in story.chain.entries}
    assert head is not None
    assert not story.chain.standing.live or head.canary in once or head.canary not in route.unlabelled


def test_a_service_that_only_rolls_back_keeps_the_last_rollout_and_the_promotion_that_still_bakes() -> None:
    story = Story()
    for _ in range(5):
        story.start().roll_back(mode="rehome").drain()
    assert [e.kind for e in living(story.chain.entries)] == ["start", "rollback", "drained"]
    story.start().complete()
    for _ in range(5):
        story.start("v3").roll_back().drain()
    assert {e.rollout for e in living(story.chain.entries)} == {6, 7, 8, 9, 10, 11}
    assert route_of(story).unlabelled == ("v2", "v1")
    story.start("v3").complete().retire().start("v1").roll_back().drain()
    assert {e.rollout for e in living(story.chain.entries)} == {13}


@given(STEPS)
def test_what_was_before_the_newest_end_is_in_no_route(steps: list[Step]) -> None:
    entries = told(steps).chain.entries
    found, everything = rollouts(living(entries)), rollouts(entries)
    assert found == everything[-len(found) :]
    assert baking(found) == baking(everything)
    for mode in get_args(HoldMode):
        assert rolled_back(found, mode) == rolled_back(everything, mode)


@given(STEPS)
def test_every_cluster_that_a_route_names_has_a_place(steps: list[Step]) -> None:
    found = snapshot(told(steps).ledger, {"orders": ORDERS}, Offsets())
    assert found.referenced <= found.clusters.keys()
