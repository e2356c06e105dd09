"""Actions of people: first what it would do, then the question, then the deed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fleet_control.errors import ControlRefusedError
from fleet_control.rollouts_cli.client import ControlClient
from fleet_control.rollouts_cli.tables import wrapped
from fleet_control.rollouts_cli.words import typed, words

# Actions after which carts run something else, or that skip what the gates would have said.
NEEDS_REASON = ("roll_back", "abort_keep", "abort_revert", "promote")
# A running rollout gets a new version with every report of a cart: so often the newest one is tried.
MAX_TRIES = 10
# What stops a model is done in whatever state the rollout is: carts that report all the time change it.
STOPPING = ("pause", "roll_back", "abort_revert")
_YES = ("y", "yes")


class NotConfirmedError(Exception):
    """Whoever was asked did not say yes."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants done.

    Attributes:
        rollout: Id.
        action: As the API names it.
        reason: Why; empty: asked for where it is needed.
        carts: For a retry: which; empty: all that failed.
        sure: Do not ask.
    """

    rollout: str
    action: str
    reason: str = ""
    carts: tuple[str, ...] = ()
    sure: bool = False


def carry_out(
    client: ControlClient, wish: Wish, *, say: Callable[[str], None], ask: Callable[[str], str]
) -> dict[str, Any]:
    """Do what somebody wants, after a yes; returns the rollout.

    Stopping and going back never depend on what the rollout did meanwhile. Everything else is refused if the
    rollout is not in the state that was shown.

    Args:
        client: The API.
        wish: What.
        say: Shows a line.
        ask: Asks a question; returns the answer. It raises `NotConfirmedError` when nobody is there.

    Raises:
        NotConfirmedError: nobody said yes, or no reason was given.
        ControlCallError: it could not be done.
    """
    shown = client.get(f"/v1/rollouts/{wish.rollout}", "choices")
    choice = next(one for one in shown["choices"] if one["action"] == wish.action)
    # One that is not allowed is sent without a question: the refusal belongs into the audit log.
    asks = not wish.sure and choice["allowed"]
    if asks:
        say(f"{wish.rollout} is {words(shown['status'])}. {typed(wish.action).capitalize()} means:")
        for sentence in choice["consequences"] or ("The rollout goes on from here.",):
            say(wrapped(f"  {sentence}"))
    needed = wish.action in NEEDS_REASON
    reason = wish.reason.strip()
    while needed and asks and not reason:
        reason = ask("Reason, for the log: ").strip()
    if needed and choice["allowed"] and not reason:
        raise NotConfirmedError(f"say why: --reason, for whoever reads the log of {typed(wish.action)}")
    if asks and ask(f"{typed(wish.action).capitalize()} {wish.rollout}? [y/N] ").strip().lower() not in _YES:
        raise NotConfirmedError("nothing was done")
    return _send(client, wish, reason, shown)


def _send(client: ControlClient, wish: Wish, reason: str, shown: dict[str, Any]) -> dict[str, Any]:
    if wish.action in STOPPING:
        return client.act(wish.rollout, wish.action, reason=reason)
    for left in reversed(range(MAX_TRIES)):
        now = client.get(f"/v1/rollouts/{wish.rollout}", "choices")
        if _what_matters(now) != _what_matters(shown):
            raise ControlRefusedError(409, "stale_version", _moved(now))
        try:
            return client.act(
                wish.rollout, wish.action, reason=reason, expected_version=now["version"], carts=wish.carts
            )
        except ControlRefusedError as error:
            if error.code != "stale_version" or not left:
                raise
    raise AssertionError  # the last try returns or raises


def _what_matters(rollout: dict[str, Any]) -> tuple[Any, ...]:
    current = rollout["current_stage"]
    stage = None if current is None else rollout["stages"][current]["status"]
    return rollout["status"], current, stage


def _moved(now: dict[str, Any]) -> str:
    return f"{now['id']} has moved on and is {words(now['status'])}: look again, then decide again"
