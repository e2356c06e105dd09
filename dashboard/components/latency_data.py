"""What the Latency page loads: percentiles of the chosen stage, over time and side by side."""

from dataclasses import dataclass

from dashboard import formats
from dashboard.charts.frame import Chart
from dashboard.charts.latency import latency_course, percentile_ranges
from dashboard.charts.marks import with_marks
from dashboard.components.context import PageContext
from dashboard.components.loading import heard_until, load_marks, names_of_stores
from dashboard.components.panel import outcome_of
from dashboard.histograms import percentiles
from dashboard.state import Outcome
from dashboard.view_models.fleet import CAMERA_TO_DECISION
from dashboard.view_models.latency import STAGE_TITLES, LatencyRow, build_course, build_rows, slowest_first


@dataclass(frozen=True, slots=True)
class Choice:
    """What the page's own controls say; the budget is one for camera to decision, the whole way."""

    stage: str
    budget_ms: float

    @property
    def line_ms(self) -> float | None:
        """Where the budget line goes in charts of the chosen stage."""
        return self.budget_ms if self.stage == CAMERA_TO_DECISION else None


def load_row(context: PageContext, choice: Choice) -> Outcome[LatencyRow | None]:
    """Load the chosen stage over everything."""
    reading = context.source.latency(context.window, context.scope)
    stage = reading.frame[reading.frame["stage"] == choice.stage]
    rows = build_rows(stage, "stage", STAGE_TITLES, choice.budget_ms)
    return outcome_of(rows[0] if rows else None, (reading,), data_until=heard_until(context), rows=len(rows))


def load_course(context: PageContext, choice: Choice) -> Outcome[Chart]:
    """Load the chosen stage over time."""
    reading = context.source.latency_series(context.window, context.scope, choice.stage)
    points = build_course(reading.frame, context.window.steps())
    chart = latency_course(points, context.window, choice.line_ms, context.look)
    chart = with_marks(chart, load_marks(context), context.window, context.look)
    return outcome_of(chart, (reading,), data_until=heard_until(context), rows=percentiles(reading.frame).n)


def load_rows(context: PageContext, choice: Choice, column: str) -> Outcome[Chart]:
    """Load percentiles side by side: of all stages, or of the chosen stage by store or model."""
    reading = context.source.latency(context.window, context.scope)
    frame, titles, by_stage = reading.frame, dict(STAGE_TITLES), column == "stage"
    if not by_stage:
        frame = frame[frame["stage"] == choice.stage]
        titles = (
            names_of_stores(context)
            if column == "store_id"
            else {str(m): formats.short_version(str(m)) for m in frame["model_digest"].unique()}
        )
    rows = build_rows(frame, column, titles, choice.budget_ms)
    rows = rows if by_stage else slowest_first(rows)
    line = choice.budget_ms if by_stage else choice.line_ms
    return outcome_of(
        percentile_ranges(rows, line, context.look, log=by_stage),
        (reading,),
        data_until=heard_until(context),
        rows=len(rows),
    )
