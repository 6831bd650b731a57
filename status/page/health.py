"""Is the pipeline well? Measured along the way of one request. Pure."""

from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from schemas.units import FULL_SHARE
from status.page import figures
from status.page.markup import glyph, joined, none, region
from status.page.snapshot import Snapshot

BEHIND_S = 15.0
"""Older than this, and than three windows, telemetry or the judge is not well."""

ELSEWHERE_MS = 300_000
"""So long it is told that requests were sent to a topic where nobody counts them."""

Health = Literal["good", "bad", "idle", "unknown"]
"""`idle`: nothing is compared now. Workers tell the time all the same: of one that does not, nobody knows whether it lives
(`unknown`)."""


@dataclass(frozen=True, slots=True)
class Item:
    """One station."""

    name: str
    health: Health
    value: str
    detail: str = ""
    since_ms: int | None = None
    """What its age counts from, where script runs."""


def items(snapshot: Snapshot) -> tuple[Item, ...]:
    """In the order of the way."""
    return (
        _requests(snapshot),
        _windows(snapshot),
        _losses(snapshot),
        _coverage(snapshot),
        _judge(snapshot),
        _proxies(snapshot),
        _log(snapshot),
    )


def health(snapshot: Snapshot) -> Markup:
    """The region."""
    matter = Markup('<dl class="health">{}</dl>').format(joined(map(station, items(snapshot))))
    return region(
        "health",
        "snapshot view window route",
        "Is the pipeline well?",
        "Measured along the way of one request event.",
        matter,
    )


_GLYPHS: dict[Health, Markup] = {
    "good": glyph("within"),
    "bad": glyph("breached"),
    "idle": Markup(""),
    "unknown": Markup(""),
}


def station(item: Item, detail: str | None = None) -> Markup:
    """One item; `detail` in place of its own."""
    value: str | Markup = none(item.value) if item.health == "unknown" else item.value
    if item.since_ms is not None:
        value = Markup('<span data-since="{}">{}</span>').format(item.since_ms, item.value)
    return Markup('<div><dt>{}</dt><dd><span class="{}">{}{}</span><small>{}</small></dd></div>').format(
        item.name,
        "bad" if item.health == "bad" else "",
        _GLYPHS[item.health],
        value,
        item.detail if detail is None else detail,
    )


def _aged(snapshot: Snapshot, name: str, at_ms: int | None, detail: str, missing: str) -> Item:
    if at_ms is None:
        return Item(name, "unknown", "–", missing)
    age_s, window_s = (snapshot.now_ms - at_ms) / 1000, snapshot.recent.window_ms / 1000 if snapshot.recent else 0.0
    fresh = age_s <= max(BEHIND_S, 3 * window_s)
    if not snapshot.live:
        return Item(name, "idle" if fresh else "unknown", f"{figures.duration(age_s)} ago", detail, at_ms)
    health: Health = "good" if fresh else "bad"
    return Item(name, health, f"{figures.duration(age_s)} ago", detail, at_ms)


def _requests(snapshot: Snapshot) -> Item:
    recent = snapshot.recent
    read = recent.read_until_ms if recent else None
    detail = f"{len(recent.reached)} of {recent.partitions} partitions" if recent and recent.partitions else ""
    lost = _elsewhere(snapshot)
    return _aged(snapshot, "requests read", read, f"{detail}{lost}", f"no worker was heard{lost}")


def _elsewhere(snapshot: Snapshot) -> str:
    """Requests that are sent to another telemetry topic than the service's, lately: nobody counts them."""
    found = snapshot.recent.elsewhere if snapshot.recent else {}
    topics = sorted(topic for topic, at_ms in found.items() if snapshot.now_ms - at_ms < ELSEWHERE_MS)
    return f"; some on {', '.join(topics)} are not counted" if topics else ""


def _windows(snapshot: Snapshot) -> Item:
    until = snapshot.recent.complete_until_ms if snapshot.recent else None
    holes = snapshot.recent.losses.holes if snapshot.recent else 0
    return _aged(snapshot, "windows closed", until, f"{figures.count(holes)} lost to retention", "none has closed")


def _losses(snapshot: Snapshot) -> Item:
    if snapshot.recent is None:
        return Item("unread events", "unknown", "–", "nothing is followed")
    losses = snapshot.recent.losses
    detail = f"{figures.count(losses.dropped)} dropped by servers, {figures.count(losses.duplicates)} sent twice"
    if losses.stale:
        detail += f", {figures.count(losses.stale)} from clocks that are an hour off"
    return Item(
        "unread events",
        "bad" if losses.malformed or losses.dropped else "good",
        figures.count(losses.malformed),
        detail,
    )


def _coverage(snapshot: Snapshot) -> Item:
    """Requests that carry no label of the rollout are no fault: of old sessions there are many when it begins."""
    part = snapshot.recent.coverage if snapshot.recent else None
    if part is None:
        return Item("coverage", "unknown", "–", "no request lately")
    if not snapshot.live:
        return Item("coverage", "idle", "at rest", "nothing is compared")
    detail = "of requests are of this rollout’s sessions"
    return Item("coverage", "good" if part else "unknown", figures.share(part * FULL_SHARE), detail)


def _judge(snapshot: Snapshot) -> Item:
    looked = snapshot.view.looked_at or None
    if not snapshot.live:
        return Item("judge", "idle", "at rest", "nothing is compared")
    return _aged(snapshot, "judge looked", looked, "once a second while a rollout runs", "it was never heard")


def _proxies(snapshot: Snapshot) -> Item:
    running, known = snapshot.acknowledged
    if not known:
        return Item("proxies", "unknown", "–", "none is known")
    refused = next((proxy.detail for proxy in snapshot.proxies if proxy.detail), "")
    return Item(
        "proxies", "good" if running == known else "bad", f"{running} of {known}", refused or "run the newest route"
    )


def _log(snapshot: Snapshot) -> Item:
    if snapshot.away_s > BEHIND_S:
        return Item("log", "bad", "no answer", f"for {figures.duration(snapshot.away_s)}")
    n = len(snapshot.entries)
    return Item("log", "good", f"entry {n}" if n else "answers", f"of rollout {snapshot.view.rollout}" if n else "")
