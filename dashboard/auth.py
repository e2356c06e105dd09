"""Who may come in. Pure: the decision only; `app.py` asks Streamlit for the facts and draws the answer.

Rules, first match wins:

1. OIDC is configured, nobody is logged in, or the login's token has run out -> LOG_IN
2. OIDC is configured and somebody is logged in                              -> OPEN
3. only this machine can reach the server, or the operator said so           -> OPEN
4. otherwise                                                                 -> CLOSED

Streamlit's cookie outlives the token and Streamlit does not look at `exp`, so rule 1 does.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# Of an e-mail address, as the control API takes it: nothing in it can end a header or mislead a log.
_EMAIL = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9.-]{1,189}")
# Whoever sends one of these is a proxy: the real viewer may be anywhere.
_PROXY_HEADERS = ("x-forwarded-for", "forwarded", "x-real-ip")


class Gate(Enum):
    """What a visitor meets."""

    OPEN = "open"
    LOG_IN = "log in"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Visit:
    """The facts about one visit.

    Attributes:
        oidc: Whether an identity provider is configured.
        claims: Of the login; empty when nobody is logged in.
        local: Whether only this machine can reach the server.
        declared_open: Whether the operator set CARTWRIGHT_DASHBOARD_OPEN=1.
    """

    oidc: bool
    claims: Mapping[str, object]
    local: bool
    declared_open: bool = False


def gate(visit: Visit, now_s: float) -> Gate:
    """Decide about a visit; `now_s` is epoch seconds."""
    if visit.oidc:
        return Gate.OPEN if _logged_in(visit.claims, now_s) else Gate.LOG_IN
    return Gate.OPEN if visit.local or visit.declared_open else Gate.CLOSED


def _logged_in(claims: Mapping[str, object], now_s: float) -> bool:
    if not claims.get("is_logged_in"):
        return False
    expires = claims.get("exp")
    return not isinstance(expires, int | float) or expires > now_s


def person_of(claims: Mapping[str, object]) -> str | None:
    """Return the e-mail address of whoever is logged in; None without one that the provider vouches for.

    It goes into a header and into the audit log.
    """
    email = claims.get("email")
    # Some providers leave the claim out, some write it as text.
    doubted = str(claims.get("email_verified", True)).lower() == "false"
    if not claims.get("is_logged_in") or doubted or not isinstance(email, str):
        return None
    return email if _EMAIL.fullmatch(email) else None


def is_local(server_address: str | None, headers: Mapping[str, str]) -> bool:
    """Tell whether only this machine can reach the server: bound to loopback, and no proxy in front."""
    names = {name.lower() for name in headers}
    return server_address in LOOPBACK and names.isdisjoint(_PROXY_HEADERS)
