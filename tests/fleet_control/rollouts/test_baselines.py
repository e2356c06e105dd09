"""Whether a rollout can go back is known before it matters."""

from fleet_control.errors import RegistryError
from fleet_control.rollouts.baselines import Baselines
from fleet_control.rollouts.rollout import Rollout
from tests.fleet_control.rollouts.worlds import Told, plan


class Shop:
    """A repository that answers, or does not."""

    there = True
    answers = True

    def ask(self, _: Rollout) -> bool:
        """Answer."""
        if not self.answers:
            raise RegistryError("no route")
        return self.there


def test_the_last_answer_counts_and_no_answer_changes_nothing() -> None:
    """A baseline that was retired is known to be gone; a repository that is away says neither."""
    shop, rollout = Shop(), Told(plan()).rollout
    baselines = Baselines(shop.ask)
    shop.answers = False
    baselines.refresh([rollout])
    assert baselines.can_go_back(rollout)
    shop.answers, shop.there = True, False
    baselines.refresh([rollout])
    shop.answers = False
    baselines.refresh([rollout])
    assert not baselines.can_go_back(rollout)
    shop.answers, shop.there = True, True
    baselines.refresh([rollout])
    assert baselines.can_go_back(rollout)
