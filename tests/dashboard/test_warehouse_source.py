"""Stories of the real source: the embedded endpoint answers every question of the pages."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dashboard.errors import SourceUnavailableError, TargetError
from dashboard.sources.fake import FakeWarehouse
from dashboard.sources.opening import open_source
from dashboard.sources.protocol import Reading, Scope, WarehouseSource
from dashboard.sources.warehouse import CatalogueWarehouse
from dashboard.timeframe import RANGES, Comparison, Window, comparison_of, window_of
from queries.client import open_warehouse
from queries.schema import apply_schema
from tests.dashboard.conftest import NOW
from tests.queries.conftest import EmulatorProcess

SCOPE = Scope("s001", "a31f09c7e2d84b5516")
Ask = Callable[[WarehouseSource, Window, Comparison], Reading]
QUESTIONS: dict[str, Ask] = {
    "stores": lambda s, _w, _c: s.stores(),
    "items": lambda s, _w, _c: s.items(),
    "signal_bins": lambda s, _w, _c: s.signal_bins(),
    "freshness": lambda s, _w, _c: s.freshness(),
    "carts": lambda s, _w, _c: s.carts(),
    "models": lambda s, w, _c: s.models(w),
    "event_series": lambda s, w, _c: s.event_series(w, SCOPE),
    "cart_events": lambda s, w, _c: s.cart_events(w, SCOPE),
    "cart_activity": lambda s, w, _c: s.cart_activity(w, SCOPE),
    "rollout_marks": lambda s, w, _c: s.rollout_marks(w, SCOPE),
    "recent_events": lambda s, w, _c: s.recent_events(w, SCOPE, 5),
    "latency": lambda s, w, _c: s.latency(w, SCOPE),
    "latency_series": lambda s, w, _c: s.latency_series(w, SCOPE, "infer"),
    "signals": lambda s, _w, c: s.signals(c, SCOPE),
    "cart_signals": lambda s, _w, c: s.cart_signals(c, SCOPE),
    "camera_days": lambda s, w, _c: s.camera_days(w, SCOPE, "blur"),
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CatalogueWarehouse]:
    """The embedded endpoint with the schema and no rows."""
    process = EmulatorProcess(tmp_path_factory.mktemp("warehouse"))
    try:
        with open_warehouse(process.target("pages")) as warehouse:
            apply_schema(warehouse)
            yield CatalogueWarehouse(warehouse)
    finally:
        process.stop()


@pytest.mark.parametrize("time_range", ["1h", "24h"])
@pytest.mark.parametrize("question", list(QUESTIONS))
def test_real_and_fake_answer_alike(
    real: CatalogueWarehouse, fake: FakeWarehouse, question: str, time_range: str
) -> None:
    """What the pages read from the simulated numbers is there under the same name in the real answer."""
    window = window_of(RANGES[time_range], NOW)
    ask = QUESTIONS[question]

    wanted = ask(fake, window, comparison_of(window)).frame.columns
    answer = ask(real, window, comparison_of(window))

    assert set(wanted) <= set(answer.frame.columns)
    assert answer.fetched_at.tzinfo is not None


def test_silent_warehouse_is_said_in_a_sentence(free_port: Callable[[], int], tmp_path: Path) -> None:
    """Nobody at the address: our own error, a sentence for people, no raw text of the server."""
    source = open_source(f"emulator://127.0.0.1:{free_port()}/cartwright.{tmp_path.name.replace('-', '_')}")

    with pytest.raises(SourceUnavailableError) as caught:
        source.stores()

    assert caught.value.sentence == "it cannot be reached."


@pytest.mark.parametrize("target", [None, "", "fake:sunny", "no dataset"])
def test_targets_that_name_nothing(target: str | None) -> None:
    """A missing or wrong address is refused with a sentence that says what would do."""
    with pytest.raises(TargetError, match=r"CARTWRIGHT_WAREHOUSE|fake:|cannot be opened"):
        open_source(target)
