"""Acting: create a rollout, and steer it. The role is checked where the action is carried out."""

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

import structlog
from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Request, Response

from fleet_control.api import asked, rendering, views
from fleet_control.api.access import Caller
from fleet_control.api.bodies import plan_tree
from fleet_control.api.failures import failure_of
from fleet_control.api.parts import IdempotencyKey, Parts, PartsOf, RolloutId, SignedIn
from fleet_control.api.plan_schema import PLAN_BODY
from fleet_control.errors import FleetControlError
from fleet_control.rollouts.ports import Command
from fleet_control.rollouts.rollout import Rollout
from fleet_control.rollouts.states import Action

_log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1/rollouts", tags=["act"])


async def _plan(request: Request, _: SignedIn) -> Any:
    return await to_thread.run_sync(plan_tree, request.headers.get("content-type"), await request.body())


PlanTree = Annotated[Any, Depends(_plan)]
Reason = Annotated[
    str,
    Header(alias="X-Reason", max_length=asked.MAX_REASON, pattern=asked.REASON_PATTERN),
]


@router.post("/preview", openapi_extra=PLAN_BODY)
def preview(parts: PartsOf, _: SignedIn, plan: PlanTree) -> views.PreviewView:
    """Say what a plan would mean for the carts that exist now. Nothing is created."""
    return rendering.preview_of(parts.control.preview(plan))


@router.post("", status_code=201, openapi_extra=PLAN_BODY)
def create(  # noqa: PLR0917  # FastAPI passes by name
    parts: PartsOf,
    caller: SignedIn,
    plan: PlanTree,
    key: IdempotencyKey,
    response: Response,
    reason: Reason = "",
) -> views.RolloutView:
    """Create a rollout. It starts only when somebody starts it."""
    words = _utf8(reason)
    head = _counted(
        parts,
        caller,
        Action.CREATE,
        lambda: parts.control.create(plan, key=key, actor=caller.name, role=caller.role, reason=words),
    )
    response.headers["Location"] = f"/v1/rollouts/{quote(head.rollout_id)}"
    return rendering.rollout_of(head, parts.control.choices(head.rollout_id, caller.role, caller.name))


@router.post("/{rollout}/actions")
async def act(
    parts: PartsOf, caller: SignedIn, rollout: RolloutId, wish: asked.ActionRequest, key: IdempotencyKey
) -> views.RolloutView:
    """Carry out an action; refused if the role or the state of the rollout forbids it."""
    command = Command(
        key=key,
        actor=caller.name,
        role=caller.role,
        action=Action(wish.action),
        rollout_id=rollout,
        reason=wish.reason,
        expected_version=wish.expected_version,
        carts=tuple(wish.carts),
    )

    def carry_out() -> views.RolloutView:
        head = _counted(parts, caller, command.action, lambda: parts.control.act(command))
        return rendering.rollout_of(head, parts.control.choices(rollout, caller.role, caller.name))

    return await to_thread.run_sync(carry_out, limiter=parts.acting)


def _counted(parts: Parts, caller: Caller, action: Action, ask: Callable[[], Rollout]) -> Rollout:
    """Carry out, and leave a trace of what became of it."""
    try:
        head = ask()
    except FleetControlError as error:
        outcome = failure_of(error).code
        parts.metrics.actions.labels(action.value, outcome).inc()
        _log.info("command refused", action=action.value, actor=caller.name, outcome=outcome, why=str(error))
        raise
    parts.metrics.actions.labels(action.value, "done").inc()
    _log.info("command done", action=action.value, actor=caller.name, rollout=head.rollout_id)
    return head


def _utf8(text: str) -> str:
    """Return a header's text: servers read headers as Latin-1, and people write UTF-8."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text
