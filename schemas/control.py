"""What the services tell each other beside the ledger: commands, route changes, and the judge's own view."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from davylamp_sdk._message import Message
from schemas.decisions import CheckResult, Opening
from schemas.names import ServiceName, VersionName
from schemas.plan import Approval

CommandKind = Literal["start", "approve", "promote", "retry", "hold", "resume", "freeze", "unfreeze", "forget"]
"""What people ask of the judge. A `rollback` is no command: the status API appends it to the ledger itself."""


class Command(Message):
    """Command v1 (`rollout-commands`): a person's word to the judge.

    Refused unless `seen` is the ledger's head, so that nobody acts on a picture that has changed; a `hold` is never
    refused for that.
    """

    v: Literal[1] = 1
    id: str
    service: ServiceName
    kind: CommandKind
    seen: str = Field(description="Id of the ledger entry the person saw as head; empty if there was none.")
    reason: str = ""
    actor: str
    opening: Opening | None = Field(default=None, description="With `start` only.")
    approves: str | None = Field(default=None, description="With `approve`: `start`, a stage's number, or `promote`.")
    full: bool = Field(default=False, description="`promote`: to 100 % at once, not to the next stage.")
    replace: bool = Field(default=False, description="`start`: roll a running rollout back first.")
    again: bool = Field(default=False, description="`start`: although this version was rolled back before.")
    proxy: str | None = Field(default=None, description="With `forget`: a proxy that will not come back.")

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if (self.kind == "start") != (self.opening is not None):
            raise ValueError("`opening` belongs to `start` and to nothing else")
        if (self.kind == "approve") != (self.approves is not None):
            raise ValueError("`approves` belongs to `approve` and to nothing else")
        if (self.kind == "forget") != (self.proxy is not None):
            raise ValueError("`proxy` belongs to `forget` and to nothing else")
        return self


class Outcome(Message):
    """What became of a command."""

    command: str
    accepted: bool
    sentence: str


class ProxyRoute(Message):
    """Which route one proxy runs."""

    proxy: str
    state: Literal["acknowledged", "pending", "rejected"]
    connected: bool = Field(default=True, description="False: cut off, and known from before. Then it is `pending`.")
    version: str | None = Field(default=None, description="Resource version it acknowledged last.")
    detail: str | None = Field(default=None, description="The proxy's own words when it rejected one.")


class RouteChange(Message):
    """RouteChange v1 (`route-changes`): what the router asked for and what the proxies say they run."""

    v: Literal[1] = 1
    service: ServiceName
    router: str
    entry: str = Field(description="Id of the ledger entry that this route follows; empty outside any rollout.")
    version: str = Field(description="Resource version: zero-padded (ledger offset, services offset).")
    proxies: tuple[ProxyRoute, ...]
    acknowledged: bool = Field(description="At least one proxy, and every proxy, runs `version` or a later one.")
    live: bool = Field(
        default=False,
        description="A rollout may go up: the picture is told again each second, and counts for 5 s only.",
    )
    forgotten: dict[str, int] = Field(
        default_factory=dict, description="Proxies that people took out of service lately → offset of the command."
    )
    at: Annotated[int, Field(description="Unix milliseconds, by the router's clock.")]
    took_ms: float | None = Field(default=None, description="Ledger entry decided → acknowledged by the last proxy.")


class VersionTotals(Message):
    """A proxy's own counts of the requests that it sent to one version, since the proxy began.

    `sent` less `active` never falls within a life of the proxy, unless the version was taken out of the service and
    came back: then its counts began anew at 0. A request that its client gives up leaves `sent` and `active`. One whose
    answer has begun is completed already: while a stream is open it is both, and counts twice in `sent`.
    """

    sent: Annotated[int, Field(ge=0, description="Completed and under way: refused connections are among them.")]
    failed: Annotated[
        int,
        Field(
            ge=0,
            description="Answered 5xx, refused, timed out, no healthy upstream, or reset: the larger one of 5xx and of "
            "connections that broke under a request, since a reset before the answer is counted as both.",
        ),
    ]
    active: Annotated[int, Field(ge=0, description="Under way now: what hangs stays here, and so do open GET streams.")]


FailureCause = Literal[
    "refused", "no_server", "reset", "timeout", "overflow", "status_5xx", "hung", "unanswered", "abandoned"
]
"""``no_server``: no address, or none that is healthy. ``hung``: not over after 5 s, counted then and once; its answer may be
a stream that has begun. ``unanswered``: no answer has begun after a minute, counted then and once, and as ``hung`` before:
the time after which servers themselves call a request timed out. ``abandoned``: given up by its client before any answer.
Streams (GET) are none of these."""


class ProxyReport(Message):
    """ProxyReport v1 (`proxy-reports`): what a proxy itself saw of a service, pushed by it and told on by a router.

    `versions` are cumulative over one life of the proxy (`started`): a lost report costs nothing, and a reader takes
    differences. `born` and `failures` are sums over one life of the router (`router`, `epoch`), of the newest rollout:
    the proxy's log of single requests is lost while no router listens. So they are evidence, never a denominator.
    """

    v: Literal[1] = 1
    service: ServiceName
    router: str
    epoch: Annotated[int, Field(description="When the router began, Unix milliseconds: with `router` it names a life.")]
    proxy: str
    started: Annotated[int, Field(description="When the proxy began to count, Unix milliseconds: names its life.")]
    at: Annotated[int, Field(description="Unix milliseconds, by the router's clock.")]
    versions: dict[VersionName, VersionTotals] = Field(description="Every version of the service.")
    born: dict[str, int] = Field(
        default_factory=dict,
        description="`<version> <label>` → sessions and cookies that the proxy assigned, whatever came of it.",
    )
    failures: dict[str, int] = Field(
        default_factory=dict, description="`<version> <cause>` → requests that failed or hung, once by each cause."
    )


RolloutState = Literal[
    "pending",  # a start that waits for a person's approval
    "shifting",  # until every proxy has acknowledged the stage's route
    "collecting",
    "held",
    "rolled_back",  # the canary's living sessions drain
    "drained",
    "completed",  # 100 %, and the old baseline is kept: baking
    "retired",
]


class RolloutView(Message):
    """The judge's view of a service's newest rollout (`rollouts`, compacted): what people are shown, and its heartbeat."""

    v: Literal[1] = 1
    service: ServiceName
    rollout: int
    state: RolloutState | None = Field(default=None, description="None: no rollout was ever started.")
    stage: int = 0
    stages: int = 0
    share: int = 0
    baseline: VersionName | None = None
    canary: VersionName | None = None
    head: str = ""
    observe: bool = Field(default=False, description="The judge decides and alerts, and applies nothing.")
    frozen: bool = Field(default=False, description="No new rollout may start.")
    held_because: str | None = None
    waiting_for: str | None = Field(default=None, description="A sentence: what the gate waits for.")
    awaits: Approval | None = Field(
        default=None, description="The approval that it waits for and for nothing else: `davylamp approve`."
    )
    stage_elapsed_s: float | None = Field(default=None, description="In data time, from the last acknowledgement.")
    score: float | None = None
    checks: tuple[CheckResult, ...] = ()
    baseline_sessions: int = 0
    canary_sessions: int = 0
    outcomes: tuple[Outcome, ...] = Field(default=(), description="Of the newest commands, last ones last.")
    judged: dict[str, int] = Field(default_factory=dict, description="`<topic>-<partition>` → first offset not read.")
    looked_at: int = Field(description="Unix milliseconds.")
