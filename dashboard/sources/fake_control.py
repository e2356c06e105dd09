"""The control API in memory: SIMULATED rollouts for developing and tests. Acts, and remembers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from dashboard.errors import SourceRefusedError, SourceUnavailableError
from dashboard.sources import fake_rollouts as script
from dashboard.sources import fake_world as world
from dashboard.sources.control import (
    FINAL,
    NAME,
    PERMITS,
    CartPage,
    Choice,
    CommandView,
    Evidence,
    FleetCart,
    LogEntry,
    LogPage,
    Me,
    ModelView,
    Order,
    Preview,
    RolloutView,
    StagePreview,
    StageView,
)
from dashboard.sources.fake_evidence import evidence_of
from dashboard.sources.fake_log import entries_of

_AFTER = {
    "approve": "ready",
    "start": "running",
    "pause": "paused",
    "resume": "running",
    "roll_back": "rolling_back",
    "abort_keep": "aborted",
    "abort_revert": "rolling_back",
    "retry": None,
    "promote": None,
}
_FROM = {
    "approve": ("draft",),
    "start": ("ready",),
    "pause": ("running",),
    "resume": ("paused",),
    "roll_back": ("running", "paused"),
    "abort_keep": ("draft", "ready", "running", "paused", "rolling_back"),
    "abort_revert": ("running", "paused"),
    "retry": ("running", "paused"),
    "promote": ("running",),
}
_ON_CALL = ("pause", "roll_back", "retry")


class FakeCondition(Enum):
    """What the fake has to show."""

    FINE = "fine"
    EMPTY = "empty"
    AWAY = "away"
    VIEWER = "viewer"
    ON_CALL = "on_call"


class FakeControl:
    """An in-memory `ControlSource`.

    Args:
        clock: The time.
        condition: What to show.
        person: Who is logged in.

    Attributes:
        commands: All that was asked for, carried out or refused; the newest first.
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        condition: FakeCondition = FakeCondition.FINE,
        person: str | None = None,
    ) -> None:
        self._clock = clock
        self._condition = condition
        self._person = person or "you@example.org"
        scripts = () if condition is FakeCondition.EMPTY else script.SCRIPTS
        self._rollouts = {s.name: script.rollout_of(s, clock()) for s in scripts}
        self._told: dict[str, list[LogEntry]] = {}
        self._answers: dict[str, RolloutView] = {}
        self.commands: list[CommandView] = []

    def me(self) -> Me:
        """See `ControlSource`."""
        self._reach()
        roles = {FakeCondition.VIEWER: "viewer", FakeCondition.ON_CALL: "on_call"}
        return Me(self._person, roles.get(self._condition, "rollout_owner"))

    def rollouts(self) -> tuple[RolloutView, ...]:
        """See `ControlSource`."""
        self._reach()
        return tuple(sorted(self._rollouts.values(), key=lambda r: r.created_at, reverse=True))

    def rollout(self, rollout_id: str) -> RolloutView:
        """See `ControlSource`."""
        self._reach()
        found = self._rollouts.get(rollout_id)
        if found is None:
            raise SourceRefusedError(NAME, "rollout", f"there is no rollout {rollout_id!r}.", 404)
        return replace(found, choices=tuple(self._choice(found, action) for action in _FROM))

    def carts(
        self, rollout_id: str, statuses: Sequence[str], store: str | None, after: str, limit: int
    ) -> CartPage:
        """See `ControlSource`."""
        found = [
            cart
            for cart in script.carts_of(self.rollout(rollout_id))
            if cart.cart > after
            and (not statuses or cart.status in statuses)
            and (store is None or cart.store == store)
        ]
        return CartPage(tuple(found[:limit]), found[limit - 1].cart if len(found) > limit else None)

    def evidence(self, rollout_id: str) -> Evidence:
        """See `ControlSource`."""
        return evidence_of(self.rollout(rollout_id), self._clock())

    def log(self, rollout_id: str, after: int, limit: int) -> LogPage:
        """See `ControlSource`."""
        rollout = self.rollout(rollout_id)
        every = entries_of(rollout, script.carts_of(rollout), self._told.get(rollout_id, ()))
        entries = tuple(entry for entry in every if entry.number > after)[:limit]
        return LogPage(entries, entries[-1].number if entries else None)

    def audit(self, rollout_id: str, limit: int) -> tuple[CommandView, ...]:
        """See `ControlSource`."""
        rollout = self.rollout(rollout_id)
        begun = CommandView(
            "0f2c9a", rollout.created_at, rollout.created_by, "rollout_owner", "create", "done", rollout.id,
            "as agreed on Monday",
        )  # fmt: skip
        return (*[c for c in self.commands if c.rollout == rollout_id], begun)[:limit]

    def fleet(self) -> tuple[FleetCart, ...]:
        """See `ControlSource`."""
        self._reach()
        since = self._clock() - timedelta(hours=5)
        return tuple(
            FleetCart(
                store, cart, place % 19 != 7, hardware, {"aisle": "wide" if place % 2 else "narrow"},
                world.OLD_MODEL, since, simulated=True,
            )
            for place, (store, cart, hardware) in enumerate(sorted(script.fleet()))
        )  # fmt: skip

    def models(self) -> tuple[ModelView, ...]:
        """See `ControlSource`."""
        self._reach()
        return script.models(self._clock())

    def preview(self, plan: Mapping[str, Any]) -> Preview:
        """See `ControlSource`."""
        target = plan.get("target") or {}
        carts = [c for c in self.fleet() if not target.get("stores") or c.store in target["stores"]]
        carts = carts[: round(len(carts) * float(target.get("percent", 100)) / 100)]
        stages, taken = list[StagePreview](), 0
        for stage in plan.get("stages", ()):
            upto = round(len(carts) * float(stage.get("percent") or 0) / 100)
            mine = carts[taken : max(taken, upto)]
            taken = max(taken, upto)
            stages.append(
                StagePreview(stage["name"], len(mine), _by(mine, "store"), _by(mine, "hardware"), len(mine))
            )
        problems = [f"stage {s.name} has no carts" for s in stages if not s.carts]
        if plan.get("rollout") in self._rollouts:
            problems.append(f"there is a rollout {plan['rollout']!r} already: an id is used once")
        if str(plan.get("model")) not in {m.digest for m in self.models()}:
            problems.append(f"the model {plan.get('model')} is not published")
        offline, already = sum(not c.online for c in carts), sum(c.model == plan.get("model") for c in carts)
        warnings = (f"{offline} carts are offline now; they are told when they are back",) if offline else ()
        return Preview(len(carts), offline, already, tuple(stages), tuple(problems), warnings)

    def create(self, plan: Mapping[str, Any], key: str, reason: str) -> RolloutView:
        """See `ControlSource`."""
        if key in self._answers:
            return self._answers[key]
        found, now = self.preview(plan), self._clock()
        if found.problems:
            raise SourceRefusedError(NAME, "create", f"{'; '.join(found.problems)}.", 422)
        rollout = RolloutView(
            id=str(plan["rollout"]), title=str(plan.get("title", "")), model=str(plan["model"]),
            status="draft" if plan.get("approval") else "ready", baseline=world.OLD_MODEL, version=1,
            created_at=now, created_by=self._person, changed_at=now, plan=dict(plan), pool=found.carts,
            stages=tuple(
                StageView(
                    i, s["name"], "waiting", planned=f"{s.get('percent', 0):g} %", bake_s=s.get("bake_s", 0)
                )
                for i, s in enumerate(plan["stages"])
            ),
        )  # fmt: skip
        self._rollouts[rollout.id] = self._answers[key] = rollout
        self._note(key, "create", rollout.id, reason, "done")
        return self.rollout(rollout.id)

    def act(self, rollout_id: str, order: Order) -> RolloutView:
        """See `ControlSource`."""
        rollout = self.rollout(rollout_id)
        if order.key in self._answers:
            return self._answers[order.key]
        if order.expected_version not in (None, rollout.version):
            raise SourceRefusedError(NAME, order.action, "it has changed: read it again.", 409)
        choice = self._choice(rollout, order.action)
        if not choice.allowed:
            self._note(order.key, order.action, rollout_id, order.reason, choice.why_not)
            raise SourceRefusedError(NAME, order.action, f"{order.action} is refused: {choice.why_not}.", 409)
        now, version = self._clock(), rollout.version + 1
        status = _AFTER[order.action] or rollout.status
        after = replace(
            rollout, status=status, version=version, why=order.reason, automatic=False, changed_at=now
        )
        self._rollouts[rollout_id] = after
        self._answers[order.key] = answer = self.rollout(rollout_id)
        word = f"{self._person} asked to {order.action.replace('_', ' ')}"
        sentence = f"{word}: {order.reason}" if order.reason else f"{word}."
        kept = self._told.setdefault(rollout_id, [])
        kept.append(LogEntry(version, now, order.action, sentence, self._person, order.reason))
        self._note(order.key, order.action, rollout_id, order.reason, "done")
        return answer

    def advance(self, rollout_id: str) -> None:
        """Let a cart report: the rollout is one entry further and means the same."""
        rollout = self._rollouts[rollout_id]
        self._rollouts[rollout_id] = replace(rollout, version=rollout.version + 1)

    def _reach(self) -> None:
        if self._condition is FakeCondition.AWAY:
            raise SourceUnavailableError(NAME, "any", f"it cannot be reached. {PERMITS}")

    def _note(self, key: str, action: str, rollout_id: str, reason: str, outcome: str) -> None:
        role = self.me().role
        self.commands.insert(
            0, CommandView(key, self._clock(), self._person, role, action, outcome, rollout_id, reason)
        )

    def _choice(self, rollout: RolloutView, action: str) -> Choice:
        role, words = self.me().role, rollout.status.replace("_", " ")
        why = f"it is {words}" if rollout.status not in _FROM[action] else ""
        if rollout.status in FINAL:
            why = f"the rollout is {words}, which is final"
        if action == "retry" and not why and not _count(rollout, "failed", "regressed"):
            why = "no cart has failed"
        if not why and (role == "viewer" or (role == "on_call" and action not in _ON_CALL)):
            needed = "on call" if action in _ON_CALL else "rollout owner"
            why = f"the role {needed} is needed"
        return Choice(action, not why, why, () if why else _consequences(rollout, action))


def _by(carts: Sequence[FleetCart], field: str) -> dict[str, int]:
    counted: dict[str, int] = {}
    for cart in carts:
        counted[getattr(cart, field)] = counted.get(getattr(cart, field), 0) + 1
    return counted


def _count(rollout: RolloutView, *statuses: str) -> int:
    return sum(stage.counts.get(status, 0) for stage in rollout.stages for status in statuses)


def _consequences(rollout: RolloutView, action: str) -> tuple[str, ...]:
    done, moving = _count(rollout, "done", "proving"), _count(rollout, "told", "working")
    model, base = rollout.model[:8], rollout.baseline[:8]
    failed = _count(rollout, "failed", "regressed")
    told = {
        "pause": (
            f"{done} carts keep {model} and go on with it.",
            f"{moving} carts on the way stop fetching and put nothing live.",
            f"{rollout.pool + _count(rollout, 'waiting')} carts are not told anything.",
        ),
        "roll_back": (
            f"{done + moving + failed} carts are told to run {base} again, each when its basket is empty.",
            f"{_count(rollout, 'unreachable')} carts that cannot be reached read it when they come back.",
        ),
        "resume": (f"{moving} carts go on towards {model}.", "All verdicts so far are acknowledged."),
        "abort_keep": (f"{done} carts keep {model}.", "It cannot be resumed."),
        "retry": (f"{failed} carts get another 3 tries.",),
        "start": ("The carts of the target are frozen as they are now, and the first stage begins.",),
        "promote": ("The stage ends without waiting for its gates; the next one begins at once.",),
    }
    told["abort_revert"] = told["roll_back"]
    return told.get(action, ())
