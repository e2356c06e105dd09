"""The control API behind Streamlit's cache: pages ask as often as they like, the API is asked rarely."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.auth import person_of
from dashboard.sources.control import (
    CartPage,
    CommandView,
    ControlSource,
    Evidence,
    FleetCart,
    LogPage,
    Me,
    ModelView,
    RolloutView,
)
from dashboard.sources.control_opening import URL_VARIABLE, open_control

# Below the page's refresh, so that each tick sees rollouts as they are and viewers share one call.
_NOW_TTL_S = 2.0
# Evidence moves with closed blocks of events, once a minute or so.
_SOON_TTL_S = 8.0
# The rollout's version is part of the key, or people's roles and the registry, which hardly change.
_LONG_TTL_S = 60.0
_MOST_ANSWERS = 256


@st.cache_resource(show_spinner=False, max_entries=_MOST_ANSWERS)
def _opened(url: str | None, person: str | None) -> ControlSource:
    return open_control(url, person)


@st.cache_data(ttl=_NOW_TTL_S, max_entries=_MOST_ANSWERS, show_spinner=False)
def _ask_now(url: str | None, person: str | None, question: str, *arguments: Any) -> Any:
    return getattr(_opened(url, person), question)(*arguments)


@st.cache_data(ttl=_SOON_TTL_S, max_entries=_MOST_ANSWERS, show_spinner=False)
def _ask_soon(url: str | None, person: str | None, question: str, *arguments: Any) -> Any:
    return getattr(_opened(url, person), question)(*arguments)


@st.cache_data(ttl=_LONG_TTL_S, max_entries=_MOST_ANSWERS, show_spinner=False)
def _ask_long(url: str | None, person: str | None, version: int, question: str, *arguments: Any) -> Any:
    del version  # of the rollout: it is in the key only
    return getattr(_opened(url, person), question)(*arguments)


def forget_control() -> None:
    """Drop what may have changed: after a command, or when somebody asks to try again."""
    _ask_now.clear()
    _ask_soon.clear()
    _ask_long.clear()


class PageControl:
    """The control API for one viewer. Raises only `DashboardError`; failures are not cached.

    Args:
        url: Where it is.
        person: Who looks, by e-mail address; None where nobody logs in.
        nameless: Somebody is logged in whose address nobody has verified: may look only.
    """

    def __init__(self, url: str | None, person: str | None, *, nameless: bool = False) -> None:
        self._key = url, person
        self.nameless = nameless
        self.simulated = (url or "").partition(":")[0] == "fake"

    @property
    def connected(self) -> bool:
        """Whether there is an address at all."""
        return bool(self._key[0])

    @property
    def direct(self) -> ControlSource:
        """The API without a cache: for commands, and what they rest on."""
        return _opened(*self._key)

    def me(self) -> Me:
        """Return who we are."""
        found: Me = _ask_long(*self._key, 0, "me")
        return found

    def rollouts(self) -> tuple[RolloutView, ...]:
        """Return the rollouts, without what may be asked for."""
        found: tuple[RolloutView, ...] = _ask_now(*self._key, "rollouts")
        return found

    def rollout(self, rollout_id: str) -> RolloutView:
        """Return one rollout."""
        found: RolloutView = _ask_now(*self._key, "rollout", rollout_id)
        return found

    def carts(
        self, rollout: RolloutView, statuses: Sequence[str], store: str | None, after: str, limit: int
    ) -> CartPage:
        """Return carts of a rollout as of its version."""
        found: CartPage = _ask_long(
            *self._key, rollout.version, "carts", rollout.id, tuple(statuses), store, after, limit
        )
        return found

    def evidence(self, rollout: RolloutView) -> Evidence:
        """Return what its gates know."""
        found: Evidence = _ask_soon(*self._key, "evidence", rollout.id)
        return found

    def log(self, rollout: RolloutView, after: int, limit: int) -> LogPage:
        """Return entries of its log as of its version."""
        found: LogPage = _ask_long(*self._key, rollout.version, "log", rollout.id, after, limit)
        return found

    def audit(self, rollout: RolloutView, limit: int) -> tuple[CommandView, ...]:
        """Return commands to it; refusals do not move its version."""
        found: tuple[CommandView, ...] = _ask_soon(*self._key, "audit", rollout.id, limit)
        return found

    def fleet(self) -> tuple[FleetCart, ...]:
        """Return all carts."""
        found: tuple[FleetCart, ...] = _ask_long(*self._key, 0, "fleet")
        return found

    def models(self) -> tuple[ModelView, ...]:
        """Return the models of the registry."""
        found: tuple[ModelView, ...] = _ask_long(*self._key, 0, "models")
        return found


def page_control(environment: Mapping[str, str] = os.environ) -> PageControl:
    """Return the control API for whoever looks."""
    claims = st.user.to_dict()
    logged_in = bool(claims.get("is_logged_in"))
    person = person_of(claims)
    return PageControl(environment.get(URL_VARIABLE), person, nameless=logged_in and person is None)
