"""A control API on a whole controller of doubles: real tokens, real HTTP, a clock turned by hand."""

import hashlib
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from fleet_control.api.server import ApiServer, ApiSettings
from fleet_control.api.tokens import create_token
from fleet_control.rollouts.states import Action, Role, RolloutStatus
from tests.fleet_control.rollouts.scene import PLAN, Scene

NOW_S = 1_800_000_000.0
YEAR_S = 365 * 86_400.0
# A plan that people promote, so that a rollout ends when somebody says so.
BY_HAND = {
    **PLAN,
    "gates": [],
    "promotion": None,
    "stages": [
        {"name": "canary", "percent": 25, "bake": "10m", "approval": True},
        {"name": "all", "percent": 100, "bake": "10m", "approval": True},
    ],
}


# Known before there is a desk: those who make cases from the schema want it at once.
FUZZ_TOKEN = "cwt_" + "f" * 43


def _entry(name: str, token: str) -> str:
    digest = hashlib.sha256(token.encode()).hexdigest()
    entry = f'name = "{name}"\nrole = "rollout_owner"\nsha256 = "{digest}"\nexpires = 2099-01-01T00:00:00Z\n'
    return f"\n[[tokens]]\nacts_for_people = true\n{entry}"


class Swapped:
    """A `Control` that stands for the newest one."""

    def __init__(self, current: Any) -> None:
        self.current = current

    def __getattr__(self, name: str) -> Any:
        return getattr(self.current, name)


@dataclass
class Desk:
    """The API with a token for each role, and one that speaks for people.

    Attributes:
        tokens_file: Where the tokens are.
        now_s: The time, for tokens.
        scene: The controller behind it.
    """

    tokens_file: Path
    now_s: float = NOW_S
    scene: Scene = field(default_factory=Scene)

    def __post_init__(self) -> None:
        self.tokens = {
            role.value: self.token(role.value, role) for role in (Role.VIEWER, Role.ON_CALL, Role.OWNER)
        }
        self.tokens["dashboard"] = self.token("dashboard", Role.OWNER, acts_for_people=True)
        with self.tokens_file.open("a") as file:
            file.write(_entry("fuzz", FUZZ_TOKEN))
            file.write('\n[people]\n"ann@example.com" = "on_call"\n"olga@example.com" = "rollout_owner"\n')
        self._keys = (f"key-{number:08}" for number in itertools.count())
        self.control = Swapped(self.scene.control)
        self.server = ApiServer(self.control, ApiSettings(self.tokens_file, port=0), now_s=lambda: self.now_s)

    def token(self, name: str, role: Role, *, acts_for_people: bool = False, lasts_s: float = YEAR_S) -> str:
        """Make a token."""
        return create_token(
            self.tokens_file, name, role, self.now_s + lasts_s, acts_for_people=acts_for_people
        )

    def new_scene(self, status: RolloutStatus | None = None) -> Scene:
        """Put another controller behind the API, with the rollout `autumn` in a status."""
        self.scene = Scene()
        self.control.current = self.scene.control
        if status is not None:
            bring_to(self.scene, status)
        return self.scene

    def call(
        self, method: str, path: str, who: str | None = "rollout_owner", **content: Any
    ) -> requests.Response:
        """Call the API."""
        headers = {**content.pop("headers", {})}
        if who is not None:
            headers["Authorization"] = f"Bearer {self.tokens[who]}"
        return requests.request(method, self.server.url + path, headers=headers, timeout=30, **content)

    def get(self, path: str, who: str | None = "rollout_owner", **content: Any) -> Any:
        """Read something that must be there."""
        response = self.call("GET", path, who, **content)
        assert response.status_code == 200, response.text
        return response.json()

    def act(
        self, action: str, who: str = "rollout_owner", *, key: str | None = None, **asked: Any
    ) -> requests.Response:
        """Ask for an action on the rollout `autumn`."""
        asked = {"reason": "a story", **asked, "action": action}
        headers = {"Idempotency-Key": key or next(self._keys)}
        return self.call("POST", "/v1/rollouts/autumn/actions", who, json=asked, headers=headers)

    def create(
        self, plan: Any, who: str = "rollout_owner", *, key: str | None = None, **content: Any
    ) -> requests.Response:
        """Create a rollout of a JSON plan, or of `data` with its headers."""
        headers = {"Idempotency-Key": key or next(self._keys), **content.pop("headers", {})}
        return self.call("POST", "/v1/rollouts", who, json=plan, headers=headers, **content)


def bring_to(scene: Scene, status: RolloutStatus) -> None:
    """Bring the rollout `autumn` into a status, as people and carts would."""
    approval = status is RolloutStatus.DRAFT
    scene.control.create({**BY_HAND, "approval": approval}, key="create-00", actor="olga", role=Role.OWNER)
    if status in (RolloutStatus.DRAFT, RolloutStatus.READY):
        return
    scene.act(Action.START)
    scene.arm()
    scene.turn(2)
    if status is RolloutStatus.PAUSED:
        scene.act(Action.PAUSE)
    if status in (RolloutStatus.ROLLING_BACK, RolloutStatus.ROLLED_BACK):
        scene.act(Action.ROLL_BACK)
    if status is RolloutStatus.ABORTED:
        scene.act(Action.ABORT_KEEP)
    if status is RolloutStatus.COMPLETED:
        scene.act(Action.PROMOTE)
        scene.turn(3)
        scene.act(Action.PROMOTE)
    if status in (RolloutStatus.COMPLETED, RolloutStatus.ROLLED_BACK):
        scene.turn(5)
    assert scene.head.status is status
