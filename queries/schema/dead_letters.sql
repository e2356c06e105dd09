-- Messages that could not be taken, with the reason.
CREATE TABLE IF NOT EXISTS dead_letters (
  received_at TIMESTAMP NOT NULL OPTIONS(description='when ingest received it, server clock'),
  topic STRING NOT NULL OPTIONS(description='topic it came on'),
  reason STRING NOT NULL OPTIONS(description='short code'),
  detail STRING OPTIONS(description='a sentence'),
  payload BYTES OPTIONS(description='the payload, up to 256 KiB'),
  payload_bytes INT64 NOT NULL OPTIONS(description='size of the whole payload'),
  payload_sha256 STRING NOT NULL OPTIONS(description='of the whole payload, hex'),
  store_id STRING OPTIONS(description='from the topic, where it has one'),
  cart_id STRING OPTIONS(description='from the topic, where it has one')
)
PARTITION BY DATE(received_at)
CLUSTER BY reason
OPTIONS(
  require_partition_filter = TRUE,
  description = 'Messages that could not be taken, with the reason.'
);
