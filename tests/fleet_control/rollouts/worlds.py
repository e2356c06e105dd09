"""Plans, carts and rollouts that the stories share."""

from collections.abc import Iterable, Mapping

from fleet_control.rollouts import events, membership
from fleet_control.rollouts.events import AnyEvent, Candidate
from fleet_control.rollouts.plan import Plan
from fleet_control.rollouts.plan_text import plan_of
from fleet_control.rollouts.ports import CartSighting
from fleet_control.rollouts.reducer import create, reduce
from fleet_control.rollouts.rollout import CartRecord, Effect, Rollout
from fleet_control.rollouts.states import DeviceState

MODEL, BASELINE = "b" * 16, "a" * 16
MANIFESTS = {MODEL: "2" * 64, BASELINE: "1" * 64}
HOUR_MS = 3_600_000


def plan(**changes: object) -> Plan:
    """Return a plan of three stages without gates, and with what is changed."""
    tree: dict[str, object] = {
        "rollout": "autumn",
        "model": MODEL,
        "baseline": BASELINE,
        "stages": [
            {"name": "canary", "percent": 25, "bake": "1h"},
            {"name": "half", "percent": 50, "bake": "1h"},
            {"name": "all", "percent": 100, "bake": "1h"},
        ],
        **changes,
    }
    return plan_of(tree)


def cart_ids(stores: int = 2, each: int = 4) -> list[tuple[str, str]]:
    """Return (store, cart) of a small fleet."""
    return [(f"s{s:03}", f"s{s:03}-c{c:02}") for s in range(1, stores + 1) for c in range(1, each + 1)]


def sightings(
    stores: int = 2, each: int = 4, *, model: str = BASELINE, online: bool = True, since_ms: int = 0
) -> dict[str, CartSighting]:
    """Return a fleet as the broker knows it."""
    return {
        cart: CartSighting(store, cart, online, "jetson", {}, model, since_ms)
        for store, cart in cart_ids(stores, each)
    }


class Told:
    """A rollout to which events happen: keeps the state, the log and what was told."""

    def __init__(self, wanted: Plan, at_ms: int = 0) -> None:
        made = events.Created(at_ms=at_ms, actor="olga", plan=wanted, baseline=BASELINE, manifests=MANIFESTS)
        step = create(made)
        self.rollout: Rollout = step.rollout
        self.carts: dict[str, CartRecord] = {}
        self.log: list[AnyEvent] = [made]
        self.effects: list[Effect] = list(step.effects)

    def happens(self, *entries: AnyEvent) -> str:
        """Reduce events; returns why the last one was ignored."""
        why = ""
        for event in entries:
            step = reduce(self.rollout, self.carts, event)
            why = step.ignored
            if not why:
                self.log.append(event)
            self.rollout = step.rollout
            self.carts.update((cart.cart, cart) for cart in step.carts)
            self.effects += step.effects
        return why

    def start(self, at_ms: int = 0, fleet: Mapping[str, CartSighting] | None = None) -> "Told":
        """Start it on a fleet."""
        population = membership.population(self.rollout.plan, (fleet or sightings()).values())
        self.happens(events.Started(at_ms=at_ms, actor="olga", population=population))
        return self

    def stage(self, index: int, carts: Iterable[str], at_ms: int = 0) -> "Told":
        """Begin a stage."""
        self.happens(events.StageStarted(at_ms=at_ms, stage=index, carts=tuple(carts)))
        return self

    def tell(self, *carts: str, at_ms: int = 0) -> "Told":
        """Tell carts."""
        self.happens(events.CartsTold(at_ms=at_ms, carts=carts))
        return self

    def done(self, *carts: str, at_ms: int = 0) -> "Told":
        """Let carts commit and prove it."""
        for cart in carts:
            self.happens(
                says(cart, DeviceState.COMMITTED, step=9, attempt=self.carts[cart].attempt, at_ms=at_ms),
                events.CartSeen(at_ms=at_ms, cart=cart, running=MODEL, windows=3, inferences=100),
            )
        return self


def says(  # a report has so many parts
    cart: str,
    state: DeviceState,
    *,
    step: int,
    attempt: int = 1,
    at_ms: int = 0,
    why: str = "",
    running: str | None = None,
) -> events.CartReported:
    """Return a report."""
    return events.CartReported(
        at_ms=at_ms, cart=cart, attempt=attempt, step=step, state=state, why=why, running=running
    )


def candidates(stores: int = 2, each: int = 4) -> tuple[Candidate, ...]:
    """Return a small fleet as candidates."""
    return tuple(Candidate(store, cart, "jetson") for store, cart in cart_ids(stores, each))
