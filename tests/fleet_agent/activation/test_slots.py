"""Stories about the two slots: values first, then the file."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_agent.activation.slots import (
    LOOP_REST_MS,
    MAX_ATTEMPT_WRITES,
    MAX_FAILURES,
    SLOT_NAMES,
    Slot,
    SlotFile,
    Slots,
    answered,
    begin,
    count_failure,
    crashed_and_rested,
    end,
    loops,
    promote,
    tried_crashed,
)
from fleet_agent.errors import StoreError


def slot(model: int, *, failures: int = 0, precision: str = "fp32", served: bool = False) -> Slot:
    """Return a slot of a numbered model."""
    return Slot(
        model=f"{model:064x}",
        precision=precision,  # type: ignore[arg-type]
        backend="copying",
        plan=f"{model + 1000:064x}",
        activated_at_ms=1,
        failures=failures,
        served=served,
    )


NAMES = st.sampled_from(SLOT_NAMES)
STEPS: st.SearchStrategy[Callable[[Slots], Slots]] = st.one_of(
    st.builds(lambda ix: lambda slots: promote(slots, slot(ix)), st.integers(0, 3)),
    st.builds(lambda name: lambda slots: count_failure(slots, name, 5), NAMES),
    st.builds(lambda name: lambda slots: answered(slots, name), NAMES),
    st.builds(
        lambda ix: lambda slots: begin(slots, f"{ix:064x}", "building", plan=None, now_ms=5),
        st.integers(0, 3),
    ),
    st.just(end),
)


@given(st.lists(STEPS, max_size=40))
def test_whatever_happens_the_slots_make_sense(steps: list[Callable[[Slots], Slots]]) -> None:
    """The last good model is never the current one, and both are kept with their plans."""
    slots = Slots()
    for step in steps:
        slots = step(slots)
        if slots.current is None:
            assert slots.last_good is None
        if slots.last_good is None:
            continue
        assert slots.current is not None
        assert slots.last_good.model != slots.current.model
        assert {slots.current.model, slots.last_good.model} == slots.models
        assert slots.plans >= {slots.current.plan, slots.last_good.plan}


@given(st.lists(STEPS, max_size=20), st.integers(0, 3))
def test_a_model_that_serves_is_the_last_good_one_after_the_next(
    steps: list[Callable[[Slots], Slots]], following: int
) -> None:
    """Promotion keeps the model that served, unless it crashes or is the same."""
    slots = Slots()
    for step in steps:
        slots = step(slots)
    promoted = promote(slots, slot(following))
    assert promoted.current is not None
    assert promoted.current.model == slot(following).model
    assert promoted.attempt is None
    assert promoted.last_good is None or promoted.last_good.good
    served = slots.current
    if served is not None and served.good and served.model != slot(following).model:
        assert promoted.last_good == served


def test_a_model_that_crashes_never_becomes_the_last_good_one() -> None:
    """Then the older one stays, and none is better than a bad one."""
    bad, old = slot(1, failures=MAX_FAILURES, served=True), slot(0, served=True)
    assert promote(Slots(current=bad, last_good=old), slot(2)).last_good == old
    assert promote(Slots(current=bad), slot(2)).last_good is None


def test_another_precision_of_a_model_is_another_engine() -> None:
    """INT8 after FP32 of the same model: FP32 is the last good one."""
    promoted = promote(Slots(current=slot(1, served=True)), slot(1, precision="int8"))
    assert promoted.last_good == slot(1, served=True)


def test_a_model_that_never_served_does_not_drive_out_the_last_good_one() -> None:
    """Two updates between two starts: what the cart falls back to is the model it really ran."""
    ran = answered(promote(Slots(), slot(0)), "current")
    twice = promote(promote(ran, slot(1)), slot(2))
    assert twice.last_good == ran.current
    assert promote(answered(twice, "current"), slot(3)).last_good == slot(2, served=True)


def test_a_plan_built_anew_does_not_make_a_model_unproven() -> None:
    """The same model again, for a new runtime: it served, and the next model may fall back to it."""
    again = promote(Slots(current=slot(0, served=True)), slot(0))
    assert promote(again, slot(1)).last_good == slot(0, served=True)


def test_a_clock_that_swings_does_not_end_the_rest_of_a_loop() -> None:
    """A cart without a clock of its own boots in 1970 and is set to today while it runs."""
    today, model = 1_800_000_000_000, f"{1:064x}"
    slots = Slots()
    for write in range(MAX_ATTEMPT_WRITES):
        slots = begin(slots, model, "selftest", now_ms=0 if write % 2 else today)
    assert loops(slots, model, 0)
    assert loops(slots, model, today + 1)
    assert not loops(slots, model, today + LOOP_REST_MS)


def test_a_crashed_model_is_tried_again_after_a_rest() -> None:
    """Once a day, whether the try kills the cart or the gate refuses it."""
    slots = Slots(current=slot(1, served=True))
    for _ in range(MAX_FAILURES):
        slots = count_failure(slots, "current", 1000)
    assert crashed_and_rested(slots, 2000) is None
    assert crashed_and_rested(slots, 1000 + LOOP_REST_MS) == slot(1).model
    slots = tried_crashed(slots, slot(1).model, 1000 + LOOP_REST_MS)
    assert crashed_and_rested(slots, 2000 + LOOP_REST_MS) is None
    assert crashed_and_rested(slots, 1000 + 2 * LOOP_REST_MS) == slot(1).model


def test_a_copy_that_cannot_be_written_undoes_nothing(tmp_path: Path) -> None:
    """The file is what counts: the switch is not called refused, and the failure is counted."""
    (tmp_path / "slots.copy" / "in the way").mkdir(parents=True)
    counted: list[str] = []
    file = SlotFile(tmp_path / "slots.json", counted.append)
    file.save(promote(Slots(), slot(1)))
    assert file.slots == SlotFile(tmp_path / "slots.json", print).slots == promote(Slots(), slot(1))
    assert counted == ["slots_write_failed"]


def test_a_disk_that_fails_after_the_file_got_its_name_changes_no_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next boot reads the new state, so it is not called refused."""

    def broken(_: Path) -> None:
        raise OSError(5, "Input/output error")

    file = SlotFile(tmp_path / "slots.json", print)
    with monkeypatch.context() as patch:
        patch.setattr("fleet_agent.durable.sync_folder", broken)
        file.save(promote(Slots(), slot(1)))
    assert file.slots == SlotFile(tmp_path / "slots.json", print).slots == promote(Slots(), slot(1))


def test_an_attempt_that_never_ends_is_a_loop() -> None:
    """After 28 writes the same model is left alone for a day; another model begins afresh."""
    slots, model, other = Slots(), f"{1:064x}", f"{2:064x}"
    for write in range(MAX_ATTEMPT_WRITES):
        assert not loops(slots, model, 1000 + write)
        slots = begin(slots, model, "building", now_ms=1000 + write)
    assert loops(slots, model, 2000)
    assert not loops(slots, other, 2000)
    assert not loops(slots, model, 2000 + LOOP_REST_MS)
    assert not loops(end(slots), model, 2000)
    rested = begin(slots, model, "verified", now_ms=2000 + LOOP_REST_MS)
    assert rested.attempt is not None
    assert rested.attempt.writes == 1


def test_slots_survive_a_restart(tmp_path: Path) -> None:
    """What was saved is read; saving the same again writes nothing."""
    path = tmp_path / "slots.json"
    file = SlotFile(path, print)
    saved = begin(promote(Slots(), slot(1)), f"{2:064x}", "selftest", plan=f"{3:064x}", now_ms=7)
    file.save(saved)
    written = path.stat().st_mtime_ns
    file.save(saved)
    assert path.stat().st_mtime_ns == written
    assert SlotFile(path, print).slots == saved
    assert SlotFile(path, print).damage == ""


@pytest.mark.parametrize("content", [b"", b"{", b'{"schema": 2}', b"\xff" * 100, b" " * 100_000])
def test_a_damaged_file_is_replaced_by_its_copy(tmp_path: Path, content: bytes) -> None:
    """A broken disk does not make a cart forget its models, and the damage is told."""
    path = tmp_path / "slots.json"
    saved = promote(Slots(), slot(1))
    SlotFile(path, print).save(saved)
    path.write_bytes(content)
    file = SlotFile(path, print)
    assert file.slots == saved
    assert "slots.json" in file.damage


def test_a_disk_that_refuses_is_an_error_of_ours(tmp_path: Path) -> None:
    """What was written before is still there."""
    folder = tmp_path / "cart"
    folder.mkdir()
    file = SlotFile(folder / "slots.json", print)
    folder.rmdir()
    with pytest.raises(StoreError, match=r"slots\.json"):
        file.save(promote(Slots(), slot(1)))
    assert file.slots == Slots()
