"""Follow a rollout: its log as it grows, until it ends."""

import json
import time
from collections.abc import Callable

from fleet_control.rollouts_cli import texts
from fleet_control.rollouts_cli.client import ControlClient

_PAGE = 1_000


def follow(
    client: ControlClient,
    rollout: str,
    every_s: float,
    *,
    say: Callable[[str], None],
    as_json: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Say what happens, entry by entry; returns 0 when it has completed and 1 when it ended otherwise.

    Args:
        client: The API.
        rollout: Id.
        every_s: Between two looks.
        say: Shows a line.
        as_json: Entries as JSON, one a line.
        sleep: Waits.

    Raises:
        ControlCallError: the API does not answer, or refuses.
    """
    after = 0
    while True:
        # First the state, then the log: what made the state is in the log by then.
        now = client.get(f"/v1/rollouts/{rollout}", "status")
        more = True
        while more:
            page = client.get(f"/v1/rollouts/{rollout}/log", "entries", {"after": after, "limit": _PAGE})
            for entry in page["entries"]:
                say(json.dumps(entry) if as_json else texts.entry(entry))
                after = entry["number"]
            more = page["next"] is not None
        if now["status"] in texts.FINAL:
            return 0 if now["status"] == "completed" else 1
        sleep(every_s)
