"""Columns that several answers share."""

from __future__ import annotations

from queries.question import Column

STORE = Column("store_id", "STRING", "store")
CART = Column("cart_id", "STRING", "cart")
MODEL = Column("model_digest", "STRING", "digest of the model; empty if none was loaded")
AGENT = Column("agent_version", "STRING", "version of the agent; empty or null if unknown")
AT = Column("at", "TIMESTAMP", "start of the step, UTC; steps are aligned to the epoch")
STAGE = Column("stage", "STRING", "pipeline stage; camera_to_decision is the whole of it")
BUCKET = Column("bucket", "INT64", "bucket i covers (2^(i/32), 2^((i+1)/32)] ms")
OBSERVATIONS = Column("n", "INT64", "observations")
SIGNAL = Column("signal", "STRING", "drift signal")
CAMERA = Column("camera", "STRING", "camera; empty where the signal has none")
BIN = Column("bin", "INT64", "fixed bin of the signal, from 0; bounds are in signal_bins")
NOW_N = Column("now_n", "INT64", "observations in the window")
REFERENCE_N = Column("reference_n", "INT64", "observations in the past it is compared with")
SIMULATED = Column("simulated", "BOOL", "true for what a simulation says")
ONLINE = Column("online", "BOOL", "by the last birth or will that counts")
SEEN = Column("last_seen_at", "TIMESTAMP", "last message of any kind, server clock")
CHANGED = Column("changed_at", "TIMESTAMP", "when online last changed, server clock")
EVENTS = (
    Column("item_events", "INT64", "item events"),
    Column("contradicted", "INT64", "of those, with a label that says otherwise"),
    Column("labelled", "INT64", "of those, with any label"),
    Column("asked", "INT64", "of those, where the cart asked for a barcode"),
)
ACTIVITY = (
    Column("windows", "INT64", "telemetry windows, merged ones counted apart"),
    Column("frames", "INT64", "frames captured, all cameras"),
    Column("dropped", "INT64", "frames dropped, all causes"),
)
IDENTITY = (
    CART,
    Column("boot_id", "STRING", "boot of the agent"),
    Column("channel", "STRING", "tel, evt or upd"),
)
