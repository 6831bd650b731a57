"""The share that was asked for is the share that new units get, of every kind, at a real Envoy. `make acceptance`."""

from itertools import pairwise

import pytest

from schemas.labels import Kind
from tests.binomial import interval
from tests.site import MODERN, Fleet, Newcomers, Site

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

UNITS = 4_000
SHARES = (100, 500, 1_000, 5_000)
NESTED = (500, 1_000, 2_000, 5_000)
OUTSIDE = 0.001
"""Eight of the twelve counts below are Envoy's own chance: a right router fails here once in 125 runs."""


async def at(fleet: Fleet, *shares: int) -> Site:
    """At the first of these shares."""
    site = await fleet.site(assign=["session", "principal", "cookie"])
    await site.start(*shares)
    return site


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("kind", ["session", "cookie", "principal"])
async def test_new_units_get_the_share_that_was_asked_for(fleet: Fleet, kind: Kind, share: int) -> None:
    site = await at(fleet, share)
    met = await Newcomers(site, kind).versions(UNITS)
    low, high = interval(UNITS, share / 10_000, OUTSIDE)
    assert low <= met.count("v2") <= high
    assert set(met) == {"v1", "v2"}


async def test_the_shares_of_principals_are_nested(fleet: Fleet) -> None:
    site = await at(fleet, *NESTED)
    newcomers = Newcomers(site, "principal")
    canaries: list[set[int]] = []
    for share in NESTED:
        if canaries:
            await site.write("proceed")
        met = await newcomers.versions(UNITS)
        canaries.append({n for n, version in enumerate(met) if version == "v2"})
        low, high = interval(UNITS, share / 10_000, OUTSIDE)
        assert low <= len(canaries[-1]) <= high
    assert all(smaller < larger for smaller, larger in pairwise(canaries))


async def test_no_session_leaves_its_version_over_all_stages_and_the_rollback(fleet: Fleet) -> None:
    site = await at(fleet, *NESTED)
    sessions = await site.new(300)
    for _ in NESTED[1:]:
        await site.write("proceed")
        sessions += await site.new(300)
        assert await site.again(*sessions) == {"same": len(sessions)}
    await site.write("rollback")
    assert await site.again(*sessions) == {"same": 1_200}


async def test_no_cookie_leaves_its_version_over_all_stages_and_the_rollback(fleet: Fleet) -> None:
    site = await at(fleet, *NESTED)
    met: list[tuple[str, str]] = []
    for stage in range(len(NESTED)):
        if stage:
            await site.write("proceed")
        for _ in range(200):
            answer = await site.post(MODERN)
            met.append((answer.headers["set-cookie"].partition(";")[0], answer.json()["version"]))
        assert [(cookie, await version_with(site, cookie)) for cookie, _ in met] == met
    await site.write("rollback")
    assert [(cookie, await version_with(site, cookie)) for cookie, _ in met] == met
    assert {version for _, version in met} == {"v1", "v2"}


async def version_with(site: Site, cookie: str) -> str:
    answer = await site.post(MODERN, ("cookie", cookie))
    assert "set-cookie" not in answer.headers
    version: str = answer.json()["version"]
    return version
