"""Stories of the pages on simulated numbers, through Streamlit's AppTest."""

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboard.conftest import PAGES, OpenPage


def _texts(app: AppTest) -> str:
    kinds = (app.title, app.markdown, app.caption, app.error, app.info)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


@pytest.mark.parametrize("page", PAGES)
def test_page_draws(open_page: OpenPage, page: str) -> None:
    """Every page draws without an error, says what is simulated, how fresh it is and whose clock it uses."""
    app = open_page(page)

    assert not app.exception
    assert not app.error
    assert "Simulated data" in app.title[0].value
    assert "newest message" in _texts(app).lower()
    assert "times in" in _texts(app)


@pytest.mark.parametrize("page", PAGES)
def test_silent_warehouse_costs_panels_not_pages(open_page: OpenPage, page: str) -> None:
    """A warehouse that does not answer: each panel says what failed, since when, and offers to retry."""
    app = open_page(page, "fake:error")

    assert not app.exception
    assert app.title
    assert "The warehouse did not answer" in app.error[0].value
    assert "Failing since" in app.error[0].value
    assert any(button.label == "Retry" for button in app.button)


@pytest.mark.parametrize("page", PAGES)
def test_empty_panels_say_so(open_page: OpenPage, page: str) -> None:
    """A time without data is called that; nothing is drawn as zero."""
    app = open_page(page, "fake:empty")

    assert not app.exception
    assert app.info


@pytest.mark.parametrize(("page", "panels"), [("fleet", 3), ("store", 7), ("latency", 5), ("drift", 4)])
def test_old_data_is_called_stale(open_page: OpenPage, page: str, panels: int) -> None:
    """Data of 47 minutes ago is shown, but every panel calls it stale, with its age."""
    assert _texts(open_page(page, "fake:stale")).count("Stale: last data 47 min ago") == panels


@pytest.mark.parametrize("page", ["fleet", "drift"])
def test_silent_store_is_named(open_page: OpenPage, page: str) -> None:
    """A store that fell silent among live ones is named, with the age of what it last said."""
    named = "Partial: nothing from Rennes Sainte-Anne (last heard 30 min ago)"

    assert named in _texts(open_page(page, "fake:partial"))


def test_silent_store_is_stale_on_its_own_page(open_page: OpenPage) -> None:
    """Other stores that are heard do not make the figures of a silent one fresh."""
    app = open_page("fleet", "fake:partial", store="Rennes Sainte-Anne")

    assert "Stale: last data 30 min ago" in _texts(app)


def test_empty_state_clears_filters(open_page: OpenPage) -> None:
    """With a filter set, the empty state offers to clear it, and does."""
    app = open_page("fleet", "fake:empty", store="Gent Dampoort")
    assert app.selectbox(key="store").value == "s002"

    app.button(key="clear_stores").click().run()

    assert app.selectbox(key="store").value == ""


def test_filters_come_from_the_link(open_page: OpenPage) -> None:
    """A link with time range, store and model opens exactly that view."""
    app = open_page("fleet", range="7d", store="Lisboa Alvalade", model="a31f09c7")

    assert app.session_state["range"] == "7d"
    assert app.selectbox(key="store").value == "s003"
    assert app.selectbox(key="model").value == "a31f09c7e2d84b5516"
    assert list(app.dataframe(key="stores_table").value["Store"]) == ["Lisboa Alvalade"]


def test_nonsense_in_the_link_is_ignored(open_page: OpenPage) -> None:
    """A link with unknown values falls back to the defaults."""
    app = open_page("fleet", range="99y", store="Atlantis")

    assert not app.exception
    assert app.session_state["range"] == "24h"
    assert app.selectbox(key="store").value == ""


def test_worst_store_is_first(open_page: OpenPage) -> None:
    """The table begins with the lowest share: the store whose lamp dims."""
    table = open_page("fleet").dataframe(key="stores_table").value

    assert table["Store"].iloc[0] == "Gent Dampoort"
    assert table["Uncontradicted"].is_monotonic_increasing
    assert (table["n"] > 0).all()
    assert (table["n of p95"] > 0).all()
    assert table["Last heard"].notna().all()


def test_row_opens_the_store(open_page: OpenPage) -> None:
    """A click on a row opens the Store page of that store, with the time range as it was."""
    app = open_page("fleet", range="7d")

    app.session_state["stores_table"] = {"selection": {"rows": [1], "columns": [], "cells": []}}
    app.run()

    assert app.title[0].value.startswith("Lisboa Alvalade")
    assert app.selectbox(key="store").value == "s003"
    assert app.session_state["range"] == "7d"


def test_store_page_finds_the_smeared_camera(open_page: OpenPage) -> None:
    """On the store's page the caption above the sharpness chart names the smeared camera."""
    assert "s003-c02 front: far from the other cameras." in _texts(
        open_page("store", store="Lisboa Alvalade")
    )


def test_drift_page_names_the_dimming_store(open_page: OpenPage) -> None:
    """The heat map's caption names the store and the signal that changed most."""
    assert "Largest: brightness of Gent Dampoort" in _texts(open_page("drift"))


def test_budget_comes_from_the_link(open_page: OpenPage) -> None:
    """The latency budget is part of the link and of what is drawn."""
    app = open_page("latency", budget="180")

    labels = [metric.label for metric in app.metric]
    assert "Within 180 ms" in labels


def test_uncontradicted_is_called_that(open_page: OpenPage) -> None:
    """The first figure is named after what it is, with its interval and n at hand."""
    app = open_page("fleet")

    assert app.metric[0].label == "Uncontradicted item events"
    assert any(" to " in caption.value and "n = " in caption.value for caption in app.caption)


@pytest.mark.parametrize("time_range", ["1h", "6h", "24h", "7d", "28d"])
def test_all_ranges_draw(open_page: OpenPage, time_range: str) -> None:
    """The densest page draws over every time range."""
    app = open_page("store", range=time_range, store="Gent Dampoort")

    assert not app.exception
    assert not app.error


def test_closed_to_others_without_login(open_page: OpenPage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that others can reach and that has no login shows nothing but why."""
    app = open_page("fleet")
    monkeypatch.setenv("CARTWRIGHT_DASHBOARD_OPEN", "0")
    monkeypatch.setattr("dashboard.auth.LOOPBACK", frozenset())

    app.run()

    assert "no login is configured" in app.error[0].value
    assert not app.metric
