-- One row per message that is settled: stored or put aside.
CREATE TABLE IF NOT EXISTS ingest_ledger (
  received_at TIMESTAMP NOT NULL OPTIONS(description='when ingest received it, server clock'),
  cart_id STRING NOT NULL OPTIONS(description='cart'),
  boot_id STRING NOT NULL OPTIONS(description='boot of the agent'),
  channel STRING NOT NULL OPTIONS(description='tel, evt or upd'),
  seq INT64 NOT NULL OPTIONS(description='sequence number'),
  row_count INT64 NOT NULL OPTIONS(description='rows stored'),
  disposition STRING NOT NULL OPTIONS(description='stored or dead_letter')
)
PARTITION BY DATE(received_at)
CLUSTER BY cart_id, boot_id
OPTIONS(
  require_partition_filter = TRUE,
  description = 'One row per message that is settled: stored or put aside.'
);
