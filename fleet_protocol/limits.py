"""Sizes and ranges that both sides agree on.

Lower limits refuse honest carts; higher ones let one broken cart fill a disk or a partition.
"""

VERSION = 1

# Largest payload on the wire. A merged hour of telemetry of 8 cameras is about 6 kB compressed and
# a full backlog batch of events about 60 kB; brokers commonly cap messages at 256 kB.
MAX_PAYLOAD_BYTES = 256 * 1024
# Largest payload after decompression: bounds memory per message against zstd bombs.
MAX_DECODED_BYTES = 1024 * 1024
# zstd frames may ask for a window this large; more would let 20 bytes allocate gigabytes.
MAX_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024
# Payloads below this are sent as plain JSON: zstd would save nothing.
MIN_COMPRESSED_BYTES = 200

# Rows in one events message; an hour of a very busy cart is about 600.
MAX_EVENT_ROWS = 5_000
# Buckets in one histogram: 2^(1024/32) spans nine and a half decades.
MAX_HISTOGRAM_BUCKETS = 1_024
# Bins of one drift signal; the widest we define has 64.
MAX_SIGNAL_BINS = 512
# Names of counters, signals and so on in one window: bounds the rows one message can become.
MAX_NAMES = 256

# A cart clock further in the past is filed as a dead letter, not under an ancient partition. Carts
# keep at most a month of spool; first-start history reaches back 28 days.
MAX_CLOCK_BEHIND_MS = 45 * 24 * 3600 * 1000
# A cart clock may run ahead this far before its rows would hide from "the last hour".
MAX_CLOCK_AHEAD_MS = 10 * 60 * 1000

# Labels of one cart: what a rollout may choose by.
MAX_LABELS = 16

# Largest single count of a window. A busy camera makes 10^5 frames an hour; higher would let a few
# hostile windows overflow a 64-bit sum and stop every store's rollups.
MAX_COUNT = 1_000_000_000
# Largest sequence number: a message a millisecond for 285 years.
MAX_SEQ = 2**53 - 1
# Boots listed in one watermark: a cart that reboots more often before draining its spool is told
# about the newest ones first and about the rest once those are deleted.
MAX_ACK_BOOTS = 8
