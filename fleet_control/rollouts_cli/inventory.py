"""What a plan can name: models of the registry, and the fleet as a target chooses from it. Pure."""

import re
from collections import Counter
from typing import Any

from fleet_control.plurals import many
from fleet_control.rollouts_cli.tables import WIDTH, table, time

Answer = dict[str, Any]
_TAKEN = re.compile(r"in rollout ([a-z0-9][a-z0-9_-]*), which has not ended")
# Words of a plan's error, the command that shows what may stand there, and what it lists.
_HINTS = (
    (re.compile(r"\b(models?|baseline)\b"), "cartwright rollouts models", "the models that a plan can name"),
    (re.compile(r"\b(stores?|labels?|carts?)\b"), "cartwright rollouts fleet", "stores, labels and hardware"),
)


def models(answer: Answer, width: int | None = WIDTH) -> str:
    """Return the models that a plan can name."""
    rows = [
        (model["digest"], model["name"], model["version"], time(model["published_at"]))
        for model in answer["models"]
    ]
    if not rows:
        return "No model is published: `cartwright models publish`."
    return table(("DIGEST", "NAME", "VERSION", "PUBLISHED"), rows, width=width)


def fleet(answer: Answer, width: int | None = WIDTH) -> str:
    """Return the fleet in groups that a target can tell apart."""
    carts, online = Counter(map(_group, answer["carts"])), Counter[tuple[str, ...]]()
    online.update(_group(cart) for cart in answer["carts"] if cart["online"])
    if not carts:
        return "No cart has ever been seen."
    rows = [
        (store, hw, n, online[store, hw, labels], labels) for (store, hw, labels), n in sorted(carts.items())
    ]
    stores = len({cart["store"] for cart in answer["carts"]})
    titles = ("STORE", "HARDWARE", "CARTS", "ONLINE", "LABELS")
    text = table(titles, rows, width=width, right=("CARTS", "ONLINE"))
    return f"{text}\n\n{many(carts.total(), 'cart')} in {many(stores, 'store')}."


def _group(cart: Answer) -> tuple[str, ...]:
    labels = ", ".join(f"{name}: {value}" for name, value in sorted(cart["labels"].items()))
    return cart["store"], cart["hardware"], labels


def hints(error: str) -> list[str]:
    """Return where to look up what a plan's error is about."""
    if (taken := _TAKEN.search(error)) is not None:
        return [f"`cartwright rollouts show {taken[1]}` shows the rollout that they are in"]
    return [
        f"`{command}` lists {what}"
        for about, command, what in _HINTS
        if about.search(error) and command not in error
    ]
