"""The row of key figures that Fleet and Store share."""

from dashboard import formats
from dashboard.components.cards import Figure, draw_figures
from dashboard.components.context import PageContext
from dashboard.view_models.counts import change, relative_change
from dashboard.view_models.fleet import KeyFigures, trend_of

UNCONTRADICTED = (
    "Item events that no correction, barcode scan or audit contradicted, as a share of all item events. "
    "It stands in for accuracy for now: errors that nobody noticed count as right, "
    "so the true accuracy is lower. "
    "The interval is Wilson's, 95 %."
)
ASKED = "Item events for which the cart was not sure and asked for a barcode, as a share of all of them."
EVENTS = (
    "Items put into or taken out of carts, as the carts decided them. "
    "The change compares events per hour, because the present hour is not over."
)
P95 = "From the newest frame looked at to the decided item event: 95 of 100 were faster. Error up to 1.1 %."
ONLINE = "Carts whose last birth or will message says online, of all carts ever seen."


def draw_key_figures(figures: KeyFigures, context: PageContext) -> None:
    """Draw the five key figures."""
    now, before = figures.now, figures.before
    n = f"n = {formats.count(now.item_events)}"
    latencies = [v for v in figures.latency_course_ms if v is not None]
    draw_figures(
        [
            Figure(
                "Uncontradicted item events",
                formats.percent(now.shown_share),
                f"95 % interval {formats.interval(now.uncontradicted)} · {n}",
                formats.points(change(now.shown_share, before.shown_share)),
                "normal",
                trend_of(figures.course),
                UNCONTRADICTED,
                columns=2,
            ),
            Figure(
                "Item events",
                formats.count(now.item_events),
                f"{formats.count(now.labelled)} with a label",
                formats.relative(figures.events_change),
                "off",
                [float(p.counts.item_events) for p in figures.course] if now.item_events else (),
                EVENTS,
            ),
            Figure(
                "p95 latency",
                formats.milliseconds(figures.latency.p95_ms),
                f"n = {formats.count(figures.latency.n)}",
                formats.relative(relative_change(figures.latency.p95_ms, figures.latency_before.p95_ms)),
                "inverse",
                latencies,
                P95,
            ),
            Figure(
                "Barcode asked",
                formats.percent(now.asked.share if now.enough else None),
                n,
                formats.points(change(now.asked.share, before.asked.share)),
                "inverse",
                [100 * p.counts.asked.share for p in figures.course if p.counts.asked.share is not None],
                f"{ASKED} 95 % interval: {formats.interval(now.asked)}.",
            ),
            Figure(
                "Carts online",
                f"{figures.carts.online} of {figures.carts.total}",
                _running(figures.carts.models),
                explain=ONLINE,
            ),
        ],
        context,
    )


def _running(models: tuple[str, ...]) -> str:
    if not models:
        return "no model reported"
    return f"model {formats.join_words([formats.short_version(m) for m in models], 2)}"
