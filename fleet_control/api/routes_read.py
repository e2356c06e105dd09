"""Reading: rollouts, carts, evidence, logs and models. Any role may."""

from typing import Annotated

from fastapi import APIRouter, Query

from fleet_control.api import asked, rendering, views
from fleet_control.api.parts import Limit, PartsOf, RolloutId, SignedIn
from fleet_control.rollouts.states import CartStatus, RolloutStatus

# Filters look at this many of the newest rollouts.
MAX_HEADS = 1_000
MAX_FLEET_PAGE = 100_000

router = APIRouter(prefix="/v1", tags=["read"])
StoreId = Annotated[str, Query(pattern=asked.ID_PATTERN)]


@router.get("/me")
def me(caller: SignedIn) -> views.MeView:
    """Say who the caller is and what role it has."""
    return views.MeView(name=caller.name, role=caller.role)


@router.get("/rollouts")
def list_rollouts(
    parts: PartsOf,
    _: SignedIn,
    status: Annotated[list[RolloutStatus], Query(max_length=20)] = [],  # noqa: B006  # FastAPI copies it
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> views.RolloutsView:
    """List rollouts, the newest first."""
    open_only = bool(status) and not any(wanted.final for wanted in status)
    heads = parts.control.store.heads(open_only=open_only, limit=MAX_HEADS if status else limit)
    found = [head for head in heads if not status or head.status in status][:limit]
    return views.RolloutsView(rollouts=[rendering.summary_of(head) for head in found])


@router.get("/rollouts/{rollout}")
def show_rollout(parts: PartsOf, caller: SignedIn, rollout: RolloutId) -> views.RolloutView:
    """Show a rollout with what the caller may do now, and what that would mean."""
    head = parts.control.store.head(rollout)
    return rendering.rollout_of(head, parts.control.choices(rollout, caller.role, caller.name))


@router.get("/rollouts/{rollout}/carts")
def list_carts(  # noqa: PLR0917  # FastAPI passes by name
    parts: PartsOf,
    _: SignedIn,
    rollout: RolloutId,
    status: Annotated[list[CartStatus], Query(max_length=20)] = [],  # noqa: B006
    store: StoreId | None = None,
    after: StoreId | None = None,
    limit: Limit = 100,
) -> views.CartsView:
    """List the carts of a rollout in the order of their ids."""
    head = parts.control.store.head(rollout)
    fleet = parts.control.fleet() if head.status.final else {}
    page = parts.control.store.cart_page(
        rollout, statuses=status, store=store, after=after or "", limit=limit + 1
    )
    carts = [rendering.cart_of(record, head, fleet.get(record.cart)) for record in page[:limit]]
    return views.CartsView(carts=carts, next=carts[-1].cart if len(page) > limit else None)


@router.get("/rollouts/{rollout}/evidence")
def show_evidence(parts: PartsOf, _: SignedIn, rollout: RolloutId) -> views.EvidenceView:
    """Show what the gates know: evidence against threshold, intervals, and what is still needed."""
    parts.control.store.head(rollout)
    return views.EvidenceView(gates=[rendering.gate_of(gate) for gate in parts.control.evidence(rollout)])


@router.get("/rollouts/{rollout}/log")
def show_log(
    parts: PartsOf,
    _: SignedIn,
    rollout: RolloutId,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Limit = 200,
) -> views.LogView:
    """Show what happened to a rollout, in order."""
    head = parts.control.store.head(rollout)
    page = parts.control.store.log(rollout, after=after, limit=limit + 1)
    entries = [rendering.entry_of(logged, head) for logged in page[:limit]]
    return views.LogView(entries=entries, next=entries[-1].number if len(page) > limit else None)


@router.get("/audit")
def show_audit(
    parts: PartsOf,
    _: SignedIn,
    rollout: Annotated[str | None, Query(pattern=asked.ROLLOUT_PATTERN)] = None,
    limit: Limit = 200,
) -> views.AuditView:
    """Show the newest commands, done or refused. Nothing can change them."""
    records = parts.control.store.audit(rollout_id=rollout, limit=limit)
    return views.AuditView(commands=[rendering.command_of(record) for record in records])


@router.get("/carts")
def list_fleet(
    parts: PartsOf,
    _: SignedIn,
    after: StoreId | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_FLEET_PAGE)] = MAX_FLEET_PAGE,
) -> views.FleetView:
    """List all carts that have ever been seen, in the order of their ids."""
    fleet = parts.control.fleet()
    names = sorted(name for name in fleet if name > (after or ""))
    carts = [rendering.sighting_of(fleet[name]) for name in names[:limit]]
    return views.FleetView(carts=carts, next=names[limit - 1] if len(names) > limit else None)


@router.get("/models")
def list_models(parts: PartsOf, _: SignedIn) -> views.ModelsView:
    """List the models that may be rolled out."""
    return views.ModelsView(models=[rendering.model_of(model) for model in parts.control.models()])
