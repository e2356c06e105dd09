"""Whatever a head, a record or an effect holds comes back from its JSON as it went in."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_control.rollouts import store_codec as codec
from fleet_control.rollouts.plan import GatePlan, Plan, StagePlan, Target, Window
from fleet_control.rollouts.ports import CommandRecord
from fleet_control.rollouts.rollout import (
    CartRecord,
    Effect,
    GateVerdict,
    Notice,
    Rollout,
    Stage,
    TellCart,
    TellPermit,
)
from fleet_control.rollouts.states import (
    Action,
    CartStatus,
    DeviceState,
    Role,
    RolloutStatus,
    StageStatus,
    Verdict,
)

whole = st.integers(0, 2**53)
ids = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True)
digests = st.from_regex(r"[0-9a-f]{16}", fullmatch=True)
words = st.text(max_size=60)
statuses = st.sampled_from(CartStatus)
shares = st.floats(0.001, 100)

plans = st.builds(
    Plan,
    rollout=ids,
    model=digests,
    baseline=st.none() | digests,
    title=words,
    target=st.builds(
        Target,
        stores=st.lists(ids, max_size=3).map(tuple),
        labels=st.dictionaries(
            st.from_regex(r"[a-z][a-z0-9_]{0,31}", fullmatch=True), st.tuples(words), max_size=2
        ),
        percent=shares,
    ),
    stages=st.lists(
        st.builds(
            StagePlan,
            name=ids,
            percent=st.none() | shares,
            carts=st.none() | st.integers(1, 99) | st.lists(ids, max_size=3).map(tuple),
            bake_s=st.floats(0, 86_400),
        ),
        min_size=1,
        max_size=4,
    ).map(tuple),
    gates=st.lists(st.builds(GatePlan, metric=st.just("latency"), margin=st.floats(0, 0.9)), max_size=2).map(
        tuple
    ),
    promotion=st.none(),
    windows=st.just((Window(days=("mon",), start="22:00", end="06:00"),)) | st.just(()),
)
stages = st.builds(
    Stage,
    name=ids,
    status=st.sampled_from(StageStatus),
    began_ms=st.none() | whole,
    why=words,
    tally=st.dictionaries(statuses, whole),
)
heads = st.builds(
    Rollout,
    plan=plans,
    baseline=digests,
    manifests=st.dictionaries(digests, digests, max_size=2),
    status=st.sampled_from(RolloutStatus),
    version=whole,
    generation=whole,
    stages=st.lists(stages, max_size=4).map(tuple),
    current=st.none() | st.integers(0, 20),
    pool=whole,
    why=words,
    automatic=st.booleans(),
    verdicts=st.dictionaries(
        ids,
        st.builds(GateVerdict, gate=ids, verdict=st.sampled_from(Verdict), stage=whole, at_ms=whole),
        max_size=3,
    ),
)
records = st.builds(
    CartRecord,
    store=ids,
    cart=ids,
    hardware=words,
    status=statuses,
    stage=st.none() | st.integers(0, 20),
    attempt=whole,
    step=st.integers(-1, 1_000),
    device=st.none() | st.sampled_from(DeviceState),
    why=words,
    running=st.none() | digests,
    told_ms=st.none() | whole,
    pair=st.none() | ids,
    before=st.none() | statuses,
)
effects: st.SearchStrategy[Effect] = st.one_of(
    st.builds(TellPermit, state=words, generation=whole),
    st.builds(TellCart, store=ids, cart=ids, model=digests, attempt=whole, not_after_ms=st.none() | whole),
    st.builds(Notice, what=words, text=words),
)
commands = st.builds(
    CommandRecord,
    key=words,
    fingerprint=words,
    at_ms=whole,
    actor=words,
    role=st.sampled_from(Role),
    action=st.sampled_from(Action),
    rollout_id=ids,
    reason=words,
    outcome=words,
)


@given(heads)
def test_a_head_comes_back(head: Rollout) -> None:
    """With its plan, its tallies by status, and its verdicts by gate."""
    again = codec.decode_rollout(codec.encode(head))
    assert again == head
    # Keys of a tally are statuses again, not texts that happen to be equal.
    assert all(type(status) is CartStatus for stage in again.stages for status in stage.tally)


@given(records)
def test_a_record_comes_back(record: CartRecord) -> None:
    """With its statuses as statuses."""
    assert codec.decode_record(codec.encode(record)) == record


@given(effects)
def test_an_effect_comes_back_as_its_kind(effect: Effect) -> None:
    """A permit is no notice, whatever they hold."""
    again = codec.decode_effect(codec.kind_of(effect), codec.encode(effect))
    assert (type(again), again) == (type(effect), effect)


@given(commands)
def test_a_command_comes_back_from_its_columns(command: CommandRecord) -> None:
    """Columns beside its own are left out."""
    columns = {**msgspec.to_builtins(command), "position": 7}
    assert codec.decode_command(columns) == command


@given(st.text() | st.dictionaries(st.text(), st.none() | st.integers()).map(codec.encode))
def test_what_is_not_ours_is_one_kind_of_error(text: str) -> None:
    """So that the store can tell people instead of falling over."""
    for decode in (codec.decode_rollout, codec.decode_record):
        with pytest.raises(msgspec.DecodeError):
            decode(text)
    with pytest.raises(msgspec.DecodeError):
        codec.decode_effect("letter", text)
