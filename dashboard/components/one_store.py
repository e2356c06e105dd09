"""Pages about one store: the chosen one, or the worst one when all are chosen."""

from dataclasses import replace

import pandas as pd

from dashboard.components.context import PageContext, page_context, store_names, viewer_zone
from dashboard.components.header import page_header
from dashboard.components.loading import load_store_rows
from dashboard.components.panel import panel
from dashboard.errors import DashboardError
from dashboard.sources.protocol import Scope
from dashboard.state import Outcome


def one_store() -> tuple[PageContext, str, str] | None:
    """Return the context narrowed to one store, its name and a subtitle; None after drawing why not."""
    context = page_context()
    try:
        store_id = context.scope.store_id or _lowest(context)
        stores = context.source.stores().frame
    except DashboardError as error:
        _draw_failure(context, error)
        return None
    found = stores[stores["store_id"] == store_id]
    if store_id is None or found.empty:
        page_header("Store", context)
        panel(
            "Store",
            lambda: Outcome(None),
            lambda _: None,
            context=context,
            key="store",
            nothing="There are no stores yet.",
        )
        return None
    narrowed = replace(context, scope=Scope(store_id, context.scope.model_digest))
    chosen_for_you = (
        "" if context.scope.store_id else "lowest uncontradicted share; choose another on the left"
    )
    return (
        narrowed,
        store_names(stores)[store_id],
        " · ".join(filter(None, [chosen_for_you, _local(context, found)])),
    )


def _lowest(context: PageContext) -> str | None:
    rows = load_store_rows(context, Scope(None, context.scope.model_digest)).value
    return rows[0].store_id if rows else None


def _local(context: PageContext, store: pd.DataFrame) -> str:
    zone = store.iloc[0]["timezone"]
    if pd.isna(zone):
        return ""
    return f"{context.now.astimezone(viewer_zone(str(zone))):%H:%M} in the store"


def _draw_failure(context: PageContext, error: DashboardError) -> None:
    def fail() -> Outcome[None]:
        raise error

    page_header("Store", context)
    panel("Carts", fail, lambda _: None, context=context, key="store")
