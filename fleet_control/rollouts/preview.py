"""What a plan would mean for the carts that exist now: sizes, problems, warnings. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from fleet_control.plurals import many
from fleet_control.rollouts import membership
from fleet_control.rollouts.events import Candidate
from fleet_control.rollouts.plan import Plan
from fleet_control.rollouts.ports import CartSighting, Preview, PublishedModel, StagePreview

# Named in a sentence; the rest are counted.
NAMED = 5
# The smallest number of pairs that can prove anything at alpha 0.05, when every one of them speaks for the
# model: see `PairedGate`.
LEAST_PAIRS = 7


def baseline_of(plan: Plan, fleet: Mapping[str, CartSighting]) -> str | None:
    """Return the digest that a rollback brings back: the plan's, or what most carts of the target run."""
    if plan.baseline is not None:
        return plan.baseline
    target = membership.population(plan, fleet.values())
    running = Counter(fleet[cart.cart].model for cart in target)
    counted = [(n, digest) for digest, n in running.items() if digest is not None and digest != plan.model]
    return max(counted)[1] if counted else None


def preview_of(
    plan: Plan,
    fleet: Mapping[str, CartSighting],
    models: Mapping[str, PublishedModel],
    taken: Mapping[str, str],
) -> Preview:
    """Return what a plan would mean.

    Args:
        plan: The plan.
        fleet: All carts, by id.
        models: All models that may be rolled out, by digest.
        taken: Carts of the target that are in another rollout, and in which.
    """
    target = membership.population(plan, fleet.values())
    draws = _draws(plan, target)
    sightings = [fleet[cart.cart] for cart in target]
    return Preview(
        carts=len(target),
        offline=sum(not cart.online for cart in sightings),
        already=sum(cart.model == plan.model for cart in sightings),
        stages=tuple(_stage(plan.stages[index].name, draw) for index, draw in enumerate(draws)),
        problems=(
            *_problems_of_stages(plan, target, draws),
            *_problems_of_models(plan, fleet, models),
            *_problems_of_carts(plan, fleet, taken),
        ),
        warnings=tuple(_warnings(plan, sightings, draws, fleet)),
    )


def _draws(plan: Plan, target: Sequence[Candidate]) -> list[membership.Draw]:
    draws: list[membership.Draw] = []
    taken: set[str] = set()
    for stage in plan.stages:
        draw = membership.draw_stage(membership.seed_of(plan), stage, target, taken)
        taken |= {cart.cart for cart in draw.carts}
        draws.append(draw)
    return draws


def _stage(name: str, draw: membership.Draw) -> StagePreview:
    return StagePreview(
        name=name,
        carts=len(draw.carts),
        by_store=membership.by_stratum(draw.carts, "store"),
        by_hardware=membership.by_stratum(draw.carts, "hardware"),
        pairs=len(draw.pairs),
    )


def _problems_of_stages(
    plan: Plan, target: Sequence[Candidate], draws: Sequence[membership.Draw]
) -> Iterator[str]:
    if not target:
        yield "no cart of the target is known"
        return
    for stage, draw in zip(plan.stages, draws, strict=True):
        if not draw.carts:
            few = f"{many(len(target), 'cart', 'is', 'are')} too few"
            yield f"stage {stage.name} has no carts: {few} for its size"


def _problems_of_models(
    plan: Plan, fleet: Mapping[str, CartSighting], models: Mapping[str, PublishedModel]
) -> Iterator[str]:
    if plan.model not in models:
        yield f"the model {plan.model} is not published"
    baseline = baseline_of(plan, fleet)
    if baseline is None and membership.population(plan, fleet.values()):
        yield "no baseline: no cart of the target says what it runs; name one"
    elif baseline is not None and baseline not in models:
        yield f"the baseline {baseline} is not published, so nothing could be rolled back"


def _problems_of_carts(
    plan: Plan, fleet: Mapping[str, CartSighting], taken: Mapping[str, str]
) -> Iterator[str]:
    if unknown := sorted(set(plan.target.carts) - set(fleet)):
        yield f"unknown carts: {_listed(unknown)}"
    for stage in plan.stages:
        if isinstance(stage.carts, tuple) and (unknown := sorted(set(stage.carts) - set(fleet))):
            yield f"stage {stage.name} names unknown carts: {_listed(unknown)}"
    if unknown := sorted(set(plan.target.stores) - {cart.store for cart in fleet.values()}):
        yield f"stores without carts: {_listed(unknown)}"
    for label, wanted in plan.target.labels.items():
        known = {{"hardware": cart.hardware, **cart.labels}.get(label, "") for cart in fleet.values()}
        if fleet and known.isdisjoint(wanted):
            there = _listed(sorted(value for value in known if value)) or "no cart has it"
            yield f"no cart has the label {label} {' or '.join(wanted)}; there are: {there}"
    for rollout, n in Counter(taken.values()).items():
        yield f"{many(n, 'cart', 'is', 'are')} in rollout {rollout}, which has not ended"


def _warnings(
    plan: Plan,
    sightings: Sequence[CartSighting],
    draws: Sequence[membership.Draw],
    fleet: Mapping[str, CartSighting],
) -> Iterator[str]:
    if offline := [cart.cart for cart in sightings if not cart.online]:
        yield f"offline now, told when they are back: {_listed(sorted(offline))}"
    if already := sum(cart.model == plan.model for cart in sightings):
        yield f"{many(already, 'cart', 'runs', 'run')} the model already"
    baseline = baseline_of(plan, fleet)
    others = {cart.model for cart in sightings} - {plan.model, baseline}
    if others:
        models = "1 other model" if len(others) == 1 else f"{len(others)} other models"
        yield f"carts run {models} than the baseline: they are no fair comparison"
    if plan.windows:
        spans = ", ".join(
            f"{'/'.join(window.days) or 'every day'} {window.start} to {window.end}"
            for window in plan.windows
        )
        yield f"carts wait for their store's maintenance window: {spans}"
    pairs = sum(len(draw.pairs) for draw in draws)
    if plan.promotion is not None and len(draws) > 1 and pairs < LEAST_PAIRS:
        yield (
            f"{many(pairs, 'pair')} of carts cannot prove that the model is harmless "
            f"(at least {LEAST_PAIRS} can): a person will have to promote"
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
