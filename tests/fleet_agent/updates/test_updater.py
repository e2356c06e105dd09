"""Stories about a cart that is asked to run another model."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_agent.errors import SpoolError
from fleet_agent.updates.record import WORKING
from fleet_agent.updates.repository_folder import FolderRepository
from tests.fleet_agent.activation.copying import COPY, CopyingBackend
from tests.fleet_agent.activation.models import write_model
from tests.fleet_agent.updates.carts import SickBackend, UpdatedCart, digest_of, name_of
from tests.fleet_agent.worlds import wait_for

WAY = [*WORKING, "PROBATION", "COMMITTED"]
Start = Callable[..., UpdatedCart]


def test_a_good_model_goes_its_whole_way(start: Start, models: dict[str, Path]) -> None:
    """Each step is told once and in order, each message carries what runs, and a new birth tells it."""
    cart = start()
    cart.desire(models["new"], 1)
    cart.permit()
    cart.wait("COMMITTED")
    old, new = digest_of(models["base"]), digest_of(models["new"])
    assert cart.states == WAY
    assert [report.step for report in cart.reports] == list(range(1, len(WAY) + 1))
    assert {(r.rollout, r.attempt, r.target) for r in cart.reports} == {("r1", 1, new)}
    assert [report.model for report in cart.reports] == [old] * 5 + [new] * 2
    wait_for(lambda: cart.cloud.states[-1].model == new)
    slots = cart.store.activator.slots
    assert slots.current is not None
    assert (slots.current.model, slots.current.served) == (name_of(models["new"]), True)
    cart.stop()
    assert [window.model for window in cart.windows] == [old, new]
    again = start()
    assert (again.runs, again.opened.source) == (new, "current")
    wait_for(lambda: again.states == [*WAY, "COMMITTED"])
    assert again.reports[-1].step == len(WAY) + 1


def test_items_are_named_rightly_by_both_models(start: Start, models: dict[str, Path]) -> None:
    """Classes in another order: the basket stays, and each event carries the digest that saw it."""
    cart = start()
    wait_for(lambda: cart.sight.looks > 20)
    cart.bench.put(1)
    wait_for(lambda: len(cart.told) == 1)
    cart.desire(models["new"], 1)
    cart.permit()
    cart.wait("COMMITTED")
    cart.bench.put(2)
    wait_for(lambda: len(cart.told) == 2)
    cart.bench.put(1, pieces=-1)
    wait_for(lambda: len(cart.told) == 3)
    assert [(e.item_id, e.direction, e.outcome) for e in cart.told] == [
        ("item-1", "add", "accepted"),
        ("item-2", "add", "accepted"),
        ("item-1", "remove", "accepted"),
    ]
    assert all(confidence > 0.9 for event in cart.told for _, confidence in event.camera_confidence)
    assert all(event.camera_confidence for event in cart.told)
    old, new = digest_of(models["base"]), digest_of(models["new"])
    assert [message.model for message in cart.events] == [old, new, new]


def test_nothing_happens_without_a_permit_and_nothing_goes_live_during_a_trip(
    start: Start, models: dict[str, Path]
) -> None:
    """The cart waits for both, however often it is told."""
    cart = start()
    cart.agent.begin_session("trip-1")
    for _ in range(3):
        cart.desire(models["new"], 1)
    cart.wait("FETCHING")
    cart.permit(lasts_ms=0)
    cart.permit(lasts_ms=-1)
    wait_for(lambda: cart.updater.record.permits != {})
    assert cart.repository.copied_bytes == 0
    cart.permit(2)
    cart.wait("STAGED")
    looks = cart.sight.looks
    wait_for(lambda: cart.sight.looks > looks + 10)
    assert (cart.updater.record.state, cart.runs) == ("STAGED", digest_of(models["base"]))
    cart.permit(3, "paused")
    cart.agent.begin_session(None)
    looks = cart.sight.looks
    wait_for(lambda: cart.sight.looks > looks + 10)
    assert cart.updater.record.state == "STAGED"
    cart.permit(4)
    cart.wait("COMMITTED")
    assert cart.states == WAY


def test_a_cart_that_knows_no_trips_is_changed_after_a_rest(start: Start, models: dict[str, Path]) -> None:
    """After a start nobody knows what lies in it; when it rested long enough it counts as empty."""
    cart = start(idle_s=1.5)
    cart.desire(models["new"], 1)
    cart.permit()
    cart.wait("STAGED")
    assert cart.agent.rest().idle_s < 1.5
    cart.wait("COMMITTED")
    assert cart.agent.rest().idle_s >= 1.5


def test_a_pause_stops_a_download_which_goes_on_where_it_was(
    start: Start, models: dict[str, Path], repository: FolderRepository
) -> None:
    """Not a byte comes while the rollout is paused, over a start as well, and none comes twice."""
    cart = start()
    half, resumed = threading.Event(), threading.Event()
    size_bytes = sum(path.stat().st_size for path in models["new"].rglob("*") if path.is_file())

    def slow(*args: Any, stop: Callable[[], bool], **kwargs: Any) -> Path:
        def halfway() -> bool:
            if repository.copied_bytes > size_bytes // 2 and not resumed.is_set():
                half.set()
                wait_for(stop)
            return stop()

        return fetch(*args, stop=halfway, **kwargs)

    fetch, repository.fetch = repository.fetch, slow  # type: ignore[method-assign]
    cart.desire(models["new"], 1)
    cart.permit()
    assert half.wait(20)
    cart.permit(2, "paused")
    wait_for(lambda: not cart.updater.works)
    came_bytes = repository.copied_bytes
    assert size_bytes // 2 < came_bytes < size_bytes
    cart = start()
    wait_for(lambda: cart.states == ["FETCHING", "FETCHING"])
    assert repository.copied_bytes == came_bytes
    resumed.set()
    cart.permit(3)
    cart.wait("COMMITTED")
    assert repository.copied_bytes == size_bytes


def test_a_pause_lets_a_build_end_and_nothing_go_live(
    start: Start, models: dict[str, Path], tmp_path: Path
) -> None:
    """What is being built is built and tested, and stays staged until the rollout goes on."""
    gate = tmp_path / "gate"
    waiting = COPY.replace(
        "pieces = 4", f"import time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\npieces = 4"
    )
    cart = start(backend=CopyingBackend(waiting))
    cart.desire(models["new"], 1)
    cart.permit()
    cart.wait("BUILDING")
    cart.permit(2, "paused")
    wait_for(lambda: cart.updater.record.permits["r1"].state == "paused")
    gate.touch()
    cart.wait("STAGED")
    looks = cart.sight.looks
    wait_for(lambda: cart.sight.looks > looks + 5)
    assert cart.runs == digest_of(models["base"])
    cart.permit(3)
    cart.wait("COMMITTED")
    assert cart.states == WAY


def test_a_model_that_fails_its_test_is_not_tried_again(start: Start, models: dict[str, Path]) -> None:
    """Its classes are swapped against its own golden frames: refused by the gate, with the reason told."""
    cart = start()
    cart.desire(models["wrong"], 1)
    cart.permit()
    cart.wait("ROLLED_BACK")
    told = cart.reports[-1]
    assert (told.model, told.reason and told.reason.partition(":")[0]) == (
        digest_of(models["base"]),
        "selftest",
    )
    assert "took" in str(told.reason)
    fetched = cart.repository.copied_bytes
    cart.desire(models["wrong"], 2)
    wait_for(lambda: len(cart.reports) == len(WORKING) + 1)
    again = start()
    wait_for(lambda: len(again.reports) == len(WORKING) + 2)
    assert set(again.states[-3:]) == {"ROLLED_BACK"}
    assert again.repository.copied_bytes == fetched
    assert [p.name for p in (again.store.folder / "models").iterdir()] == []


def test_a_model_that_fails_after_it_went_live_is_taken_back(start: Start, models: dict[str, Path]) -> None:
    """During a trip as well: the cart sees again with the model before, and the basket is kept."""
    backend = SickBackend(digest_of(models["new"]))
    cart = start(backend=backend, probation_s=3600.0)
    wait_for(lambda: cart.sight.looks > 20)
    cart.desire(models["new"], 1)
    cart.permit()
    cart.wait("PROBATION")
    assert cart.runs == digest_of(models["new"])
    cart.agent.begin_session("trip-1")
    cart.bench.put(1)
    wait_for(lambda: len(cart.told) == 1)
    backend.sick.set()
    cart.wait("ROLLED_BACK")
    told = cart.reports[-1]
    assert (told.model, cart.runs) == (digest_of(models["base"]),) * 2
    assert str(told.reason).startswith("failures: ")
    cart.bench.put(1, pieces=-1)
    wait_for(lambda: len(cart.told) == 2)
    assert [(e.item_id, e.direction, e.outcome) for e in cart.told] == [
        ("item-1", "add", "accepted"),
        ("item-1", "remove", "accepted"),
    ]
    cart.stop()
    again = start(backend=backend)
    wait_for(lambda: again.store.leftovers() == [])
    assert again.runs == digest_of(models["base"])


def test_power_that_goes_while_a_model_is_taken_back(start: Start, models: dict[str, Path]) -> None:
    """The next start opens the model before, whatever had been done, and says why."""
    backend = SickBackend(digest_of(models["new"]))
    cart = start(backend=backend, probation_s=3600.0)
    cart.desire(models["new"], 1)
    cart.permit()
    cart.wait("PROBATION")
    cart.stop()
    again = start(backend=backend, probation_s=3600.0, hung="decide")
    again.wait("ROLLED_BACK")
    assert (again.reports[-1].reason, again.runs) == ("stuck: decide hung", digest_of(models["base"]))


def test_a_rollback_to_the_baseline_needs_neither_permit_nor_network(
    start: Start, models: dict[str, Path], repository: FolderRepository
) -> None:
    """The model before is still in the cart's store."""
    cart = start()
    cart.desire(models["new"], 1)
    cart.permit()
    cart.wait("COMMITTED")
    cart.desire(models["third"], 2, attempt=2)
    wait_for(lambda: cart.runs == digest_of(models["third"]))
    cart.wait("COMMITTED")
    repository.reachable = False
    fetched = repository.copied_bytes
    cart.permit(9, "ended")
    cart.desire(models["new"], 3, rollout=None)
    wait_for(lambda: cart.runs == digest_of(models["new"]))
    cart.wait("COMMITTED")
    assert repository.copied_bytes == fetched
    assert {(r.rollout, r.attempt) for r in cart.reports[-len(WAY) :]} == {(None, 0)}


def test_a_network_that_is_down_costs_time_only(
    start: Start, models: dict[str, Path], repository: FolderRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cart asks again later, and ends when its time is over."""
    monkeypatch.setattr("fleet_agent.updates.way.FIRST_RETRY_S", 0.02)
    repository.reachable = False
    cart = start()
    cart.desire(models["new"], 1)
    cart.permit()
    wait_for(lambda: cart.telemetry.totals().counters.get("update_unreachable", 0) >= 2)
    repository.reachable = True
    cart.wait("COMMITTED")
    repository.reachable = False
    cart.desire(models["third"], 2, attempt=2, timeout_s=1)
    cart.wait("ROLLED_BACK")
    assert str(cart.reports[-1].reason).startswith("timeout: ")
    assert cart.runs == digest_of(models["new"])


def test_what_the_repository_does_not_have_ends_the_try(
    start: Start, models: dict[str, Path], tmp_path: Path
) -> None:
    """Refused is not unreachable: nobody asks again."""
    cart = start()
    elsewhere = write_model(tmp_path / "elsewhere", order=(0, 1, 2), version="x")
    cart.desire(elsewhere, 1)
    cart.permit()
    cart.wait("ROLLED_BACK")
    assert str(cart.reports[-1].reason).startswith("repository: ")
    assert cart.runs == digest_of(models["base"])


def test_an_ended_rollout_leaves_nothing_behind(start: Start, models: dict[str, Path]) -> None:
    """What was staged is closed and deleted; the same try does not begin again."""
    cart = start()
    cart.agent.begin_session("trip-1")
    cart.desire(models["new"], 1)
    cart.permit()
    cart.wait("STAGED")
    cart.permit(2, "ended")
    cart.wait("IDLE")
    wait_for(lambda: list((cart.store.folder / "models").iterdir()) == [])
    cart.agent.begin_session(None)
    cart.desire(models["new"], 2)
    wait_for(lambda: cart.states[-2:] == ["IDLE", "IDLE"])
    assert cart.runs == digest_of(models["base"])
    assert cart.store.activator.slots.attempt is None


def test_another_order_replaces_what_was_staged(start: Start, models: dict[str, Path]) -> None:
    """The newest order is what the cart should run."""
    cart = start()
    cart.agent.begin_session("trip-1")
    cart.desire(models["new"], 1)
    cart.permit()
    cart.wait("STAGED")
    cart.desire(models["third"], 2, attempt=2)
    wait_for(lambda: cart.reports[-1].target == digest_of(models["third"]))
    cart.agent.begin_session(None)
    cart.wait("COMMITTED")
    assert (cart.runs, cart.reports[-1].attempt) == (digest_of(models["third"]), 2)


def test_a_report_that_cannot_be_kept_is_told_later_and_undoes_nothing(
    start: Start, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spool fails from the moment the model is live: it is committed all the same."""
    cart = start(probation_s=0.5)
    tell, broken = cart.agent.report_update, threading.Event()

    def refuse(step: Any) -> None:
        if broken.is_set() or step.state == "PROBATION":
            broken.set()
            raise SpoolError("the disk is full")
        tell(step)

    monkeypatch.setattr(cart.agent, "report_update", refuse)
    cart.desire(models["new"], 1)
    cart.permit()
    wait_for(lambda: cart.updater.record.state == "COMMITTED")
    assert cart.states[-1] == "STAGED"
    monkeypatch.setattr(cart.agent, "report_update", tell)
    cart.wait("COMMITTED")
    assert cart.states == WAY


def test_a_disk_that_refuses_the_record_stops_the_step_and_not_the_cart(
    start: Start, models: dict[str, Path]
) -> None:
    """Nothing is fetched that is not written down; when the disk is well the order is carried out."""
    cart = start()
    folder = cart.store.folder / "updates"
    folder.parent.joinpath("updates").rmdir() if folder.exists() else None
    folder.write_bytes(b"in the way")
    cart.desire(models["new"], 1)
    cart.permit()
    wait_for(lambda: cart.telemetry.totals().counters.get("update_record_failed", 0) >= 2)
    assert cart.repository.copied_bytes == 0
    folder.unlink()
    cart.wait("COMMITTED")


def test_a_damaged_record_is_forgotten(start: Start, models: dict[str, Path]) -> None:
    """The cart runs what its slots say, counts the damage, and is told again what it should run."""
    cart = start()
    cart.desire(models["new"], 1)
    cart.permit()
    cart.wait("COMMITTED")
    cart.stop()
    (cart.store.folder / "updates" / "update.json").write_bytes(b"{not json")
    again = start()
    wait_for(lambda: len(again.states) == len(WAY) + 1)
    assert (again.states[-1], again.runs) == ("COMMITTED", digest_of(models["new"]))
    assert again.telemetry.totals().counters["update_record_damaged"] == 1


def test_orders_that_are_none_are_counted(start: Start) -> None:
    """Garbage, a permit on another rollout's topic, and a cleared topic change nothing."""
    cart = start()
    cart.transport.order("fleet/v1/s001/s001-c01/desired", b"{")
    cart.transport.order(
        "fleet/v1/rollouts/r9/permit", b'{"v":1,"rollout":"r1","generation":1,"state":"running","until":1}'
    )
    cart.transport.order("fleet/v1/s001/s001-c01/desired", b"")
    assert cart.telemetry.totals().counters["orders_damaged"] == 2
    assert cart.reports == []
