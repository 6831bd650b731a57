"""`davylamp rollback SERVICE --direct`: to every router's own port, without Kafka, judge or status API."""

import asyncio
import re
from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from cli.routers import Answers, DirectSettings, Failure, Routers
from cli.terminal import EXIT_REFUSED, EXIT_UNDECIDED, fail, user
from router.answers import Knowledge, Latched
from router.latch import Word
from transport.settings import SettingsError

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._@+-]")


def roll_back(service: str, reason: str, urls: Sequence[str], rollout: int | None) -> None:
    """Say it to every router; ends the command with what came of it, and 0 only if it is in force at every proxy."""
    routers = _routers(urls)
    if rollout is None:
        rollout = _newest(asyncio.run(routers.knowledge(service)), service)
    try:
        word = Word(service=service, rollout=rollout, reason=reason, actor=actor(user()))
    except ValidationError as error:
        fail("\n".join(f"{e['loc'][0]}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()), 2)
    answers = asyncio.run(routers.roll_back(word))
    for line in render(answers):
        print(line)
    failure = verdict(answers, word)
    if failure is not None:
        fail(*failure)
    print(
        f"Rollout {word.rollout} of {word.service} is rolled back: every proxy of every router runs the route without it."
    )


def actor(name: str) -> str:
    """The user's name as the ledger takes it: an emergency is no time to refuse one."""
    fitting = _NOT_IN_A_NAME.sub("_", name)[:60].lstrip(".@+-") or "somebody"
    return f"{fitting}@cli" if fitting in ("judge", "router") else fitting


def render(answers: Answers[Latched]) -> Iterator[str]:
    """One line a router."""
    for url, answer in answers.items():
        if isinstance(answer, Failure):
            yield f"✖ {url}  {answer.sentence}"
        else:
            names = ", ".join(p.proxy for p in answer.proxies if p.state == "acknowledged") or "no proxy"
            yield f"✔ {url}  in force as entry {answer.entry[:8]}, run by {names}"


def verdict(answers: Answers[Latched], word: Word) -> tuple[str, int] | None:
    """Why it is not done, with what to do, and the exit code; None: it is in force everywhere."""
    failed = [url for url, answer in answers.items() if isinstance(answer, Failure) and not answer.in_force]
    if failed:
        return _unconfirmed(failed, len(answers), word), EXIT_REFUSED
    if forgetful := [url for url, answer in answers.items() if isinstance(answer, Failure)]:
        return _not_kept(forgetful, word), EXIT_REFUSED
    proxies = [p for answer in answers.values() if isinstance(answer, Latched) for p in answer.proxies]
    running = {p.proxy for p in proxies if p.state == "acknowledged"}
    missing = sorted({p.proxy for p in proxies} - running)
    if missing:
        sentence = f"Every router has it, and does not know it of every proxy: {', '.join(missing)}."
        return f"{sentence} They get it as soon as they connect; stop those that cannot.", EXIT_UNDECIDED
    if not running:
        return "Every router has it, and no proxy is connected to any: is each router listed?", EXIT_UNDECIDED
    return None


def _not_kept(forgetful: Sequence[str], word: Word) -> str:
    return (
        f"In force at every router, and kept on no disk of {', '.join(forgetful)}: one that restarts before the ledger has it "
        f"would route by what it knew before. Do not restart it; mend its disk, then say it again: {_again(word)}"
    )


def _again(word: Word) -> str:
    return f"davylamp rollback {word.service} --direct --rollout {word.rollout}"


def _unconfirmed(failed: Sequence[str], routers: int, word: Word) -> str:
    return (
        f"Not rolled back everywhere: {len(failed)} of {routers} routers did not confirm ({', '.join(failed)}). Their "
        "proxies may still give the canary sessions. Say it again until all confirm, which does no harm: "
        f"{_again(word)} Or stop the proxies of a router that stays away."
    )


def newest(answers: Answers[Knowledge]) -> int:
    """The highest rollout that any router knows; 0: none knows one."""
    return max((answer.rollout for answer in answers.values() if isinstance(answer, Knowledge)), default=0)


def _newest(answers: Answers[Knowledge], service: str) -> int:
    found = newest(answers)
    told = [f"✖ {url}  {answer.sentence}" for url, answer in answers.items() if isinstance(answer, Failure)]
    if not found and told:
        fail("\n".join([*told, f"Nobody could say which rollout of {service} is meant: name it with --rollout."]))
    if not found:
        fail(f"No router knows a rollout of {service}: there is nothing to roll back.")
    return found


def _routers(urls: Sequence[str]) -> Routers:
    try:
        settings = DirectSettings.load("direct", alone=True)  # an emergency waits for no other setting
    except SettingsError as error:
        fail(str(error), 2)
    urls = urls or settings.routers
    if not urls:
        fail(
            "Which routers? Name each one's direct port: --router http://HOST:18001, as often as there are routers, "
            "or [direct] routers in the settings file, or DAVYLAMP_DIRECT_ROUTERS.",
            2,
        )
    if settings.token is None:
        fail("The routers' token is needed: DAVYLAMP_DIRECT_TOKEN, or [direct] token in the settings file.", 2)
    try:
        return Routers(urls, settings.token, settings.ca)
    except SettingsError as error:
        fail(str(error), 2)
