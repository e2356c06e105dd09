"""Tables of stores, carts and events: rows to frames, and how their columns are drawn."""

from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from dashboard import formats
from dashboard.components.figures import ASKED, UNCONTRADICTED
from dashboard.view_models.fleet import StoreRow
from dashboard.view_models.store import CartRow, EventRow
from dashboard.view_models.vitals import VitalRow

# An icon and a word: colour is not drawn in tables, and would not be enough.
ONLINE, OFFLINE = "● Online", "○ Offline"
VERDICTS = {"Fine": "● Fine", "Degraded": "◐ Degraded", "Trouble": "▲ Trouble", "Silent": "○ Silent"}


def cart_table(rows: tuple[CartRow, ...]) -> pd.DataFrame:
    """Return the table of carts as drawn."""
    return pd.DataFrame(
        {
            "Cart": [r.cart_id for r in rows],
            "State": [ONLINE if r.online else OFFLINE for r in rows],
            "Last seen": [r.last_seen_at for r in rows],
            "Uncontradicted": [
                None if r.counts.shown_share is None else 100 * r.counts.shown_share for r in rows
            ],
            "95 % interval": [formats.interval(r.counts.uncontradicted) for r in rows],
            "n": [r.counts.item_events for r in rows],
            "Asked": [None if not r.counts.enough else 100 * (r.counts.asked.share or 0.0) for r in rows],
            "Frames dropped": [None if r.dropped_share is None else 100 * r.dropped_share for r in rows],
            "Frames": [r.frames for r in rows],
            "Model": [formats.short_version(r.model_digest) for r in rows],
            "Agent": [r.agent_version or formats.UNKNOWN for r in rows],
        }
    )


CART_COLUMNS = {
    "Cart": st.column_config.TextColumn(pinned=True),
    "State": st.column_config.TextColumn(help="By the cart's last birth or will message."),
    "Last seen": st.column_config.DatetimeColumn(format="distance"),
    "Uncontradicted": st.column_config.NumberColumn(format="%.1f %%", help=UNCONTRADICTED),
    "95 % interval": st.column_config.TextColumn(help="Wilson interval of the uncontradicted share."),
    "n": st.column_config.NumberColumn(format="localized", help="Item events in the time range."),
    "Asked": st.column_config.NumberColumn(format="%.1f %%", help=ASKED),
    "Frames dropped": st.column_config.NumberColumn(
        format="%.2f %%", help="Of all frames, those that could not be decoded included; all causes."
    ),
    "Frames": st.column_config.NumberColumn(
        format="compact", help="In the time range, all cameras, those that could not be decoded included."
    ),
    "Model": st.column_config.TextColumn(help="First eight digits of the digest."),
    "Agent": st.column_config.TextColumn(help="Version of the cart's software."),
}


def vital_table(rows: tuple[VitalRow, ...]) -> pd.DataFrame:
    """Return the table of cart health as drawn."""
    return pd.DataFrame(
        {
            "Cart": [r.cart_id for r in rows],
            "Health": [VERDICTS[r.verdict] for r in rows],
            "As of": [r.as_of for r in rows],
            "What it reports": [", ".join(_reports(r)) or formats.UNKNOWN for r in rows],
            "Hottest": [r.temp_c for r in rows],
            "Slowest camera": [
                formats.UNKNOWN
                if r.slowest_camera is None
                else f"{r.slowest_camera[0]} {r.slowest_camera[1]:.1f} fps"
                for r in rows
            ],
            "Memory": [None if r.memory_bytes is None else r.memory_bytes / 1e6 for r in rows],
            "Engine": [r.engine or formats.UNKNOWN for r in rows],
        }
    )


def _reports(row: VitalRow) -> list[str]:
    """Return what a cart says about itself, in words; nothing when all is well."""
    if row.as_of is None:
        return ["no telemetry in the last hour"]
    safe = ["safe mode after restarts"] if row.safe_mode else []
    level = [f"degrade level {row.degrade_level} of 3"] if row.degrade_level else []
    return [*safe, *row.troubles, *level]


VITAL_COLUMNS = {
    "Cart": st.column_config.TextColumn(pinned=True),
    "Health": st.column_config.TextColumn(
        help="Trouble: a part failed within the hour. Degraded: it saves power."
    ),
    "What it reports": st.column_config.TextColumn(
        width="large", help="Counted by the cart itself in the last hour, the gravest first."
    ),
    "Hottest": st.column_config.NumberColumn(format="%.0f °C", help="Hottest sensor of the cart's computer."),
    "Slowest camera": st.column_config.TextColumn(help="Frames per second that arrived in the last window."),
    "Memory": st.column_config.NumberColumn(format="%.0f MB", help="Resident memory of the agent's process."),
    "Engine": st.column_config.TextColumn(
        width="small", help="Runtime, version, precision and device, from the cart's last birth."
    ),
    "As of": st.column_config.DatetimeColumn(format="distance", help="End of its newest telemetry window."),
}


def event_table(rows: tuple[EventRow, ...], zone: ZoneInfo) -> pd.DataFrame:
    """Return the table of events as drawn, times in the viewer's zone."""
    return pd.DataFrame(
        {
            "Time": [r.at.astimezone(zone).replace(tzinfo=None) for r in rows],
            "Cart": [r.cart_id for r in rows],
            "Item": [r.action for r in rows],
            "Posterior": [None if r.posterior is None else 100 * r.posterior for r in rows],
            "Outcome": [r.outcome for r in rows],
            "What people said": [r.verdict for r in rows],
            "Decision": [r.decision_ms for r in rows],
            "Weight residual": [r.weight_residual_g for r in rows],
        }
    )


EVENT_COLUMNS = {
    "Time": st.column_config.DatetimeColumn(format="D MMM HH:mm:ss"),
    "Cart": st.column_config.TextColumn(),
    "Item": st.column_config.TextColumn(width="medium", help="+ put in, \N{MINUS SIGN} taken out."),
    "Posterior": st.column_config.ProgressColumn(
        format="%.0f %%",
        min_value=0,
        max_value=100,
        help="How sure the cart was of item, quantity and direction.",
    ),
    "Outcome": st.column_config.TextColumn(),
    "What people said": st.column_config.TextColumn(
        width="medium", help="Corrections, barcode scans and audits."
    ),
    "Decision": st.column_config.NumberColumn(format="%.0f ms", help="Camera to decision."),
    "Weight residual": st.column_config.NumberColumn(
        format="%.0f g", help="Measured minus expected weight change."
    ),
}


def store_table(rows: tuple[StoreRow, ...]) -> pd.DataFrame:
    """Return the table as drawn."""
    return pd.DataFrame(
        {
            "Store": [r.name for r in rows],
            "Uncontradicted": [
                None if r.counts.shown_share is None else 100 * r.counts.shown_share for r in rows
            ],
            "95 % interval": [formats.interval(r.counts.uncontradicted) for r in rows],
            "n": [r.counts.item_events for r in rows],
            "Trend": [list(r.trend) for r in rows],
            "Asked": [None if not r.counts.enough else 100 * (r.counts.asked.share or 0.0) for r in rows],
            "p95": [r.latency.p95_ms for r in rows],
            "n of p95": [r.latency.n for r in rows],
            "Carts online": [f"{r.carts.online} of {r.carts.total}" for r in rows],
            "Last heard": [r.carts.last_seen_at for r in rows],
            "Models": [", ".join(formats.short_version(m) for m in r.carts.models) for r in rows],
        }
    )


STORE_COLUMNS = {
    "Store": st.column_config.TextColumn(width="medium", pinned=True),
    "Uncontradicted": st.column_config.NumberColumn(format="%.1f %%", help=UNCONTRADICTED),
    "95 % interval": st.column_config.TextColumn(help="Wilson interval of the uncontradicted share."),
    "n": st.column_config.NumberColumn(format="localized", help="Item events in the time range."),
    "Trend": st.column_config.LineChartColumn(
        help="Uncontradicted share over the time range, each on its own scale."
    ),
    "Asked": st.column_config.NumberColumn(
        format="%.1f %%", help="Share of item events that asked for a barcode."
    ),
    "p95": st.column_config.NumberColumn(format="%.0f ms", help="95th percentile of camera to decision."),
    "n of p95": st.column_config.NumberColumn(format="compact", help="Decisions that the p95 is taken from."),
    "Carts online": st.column_config.TextColumn(),
    "Last heard": st.column_config.DatetimeColumn(
        format="distance", help="Newest message of any of the store's carts."
    ),
    "Models": st.column_config.TextColumn(help="Models that the store's carts run now."),
}
