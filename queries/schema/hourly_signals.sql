-- Drift signal counts merged per hour, store and model.
CREATE TABLE IF NOT EXISTS hourly_signals (
  hour TIMESTAMP NOT NULL OPTIONS(description='start of the hour, UTC'),
  store_id STRING NOT NULL OPTIONS(description='store'),
  model_digest STRING NOT NULL OPTIONS(description='model; empty if none was loaded'),
  signal STRING NOT NULL OPTIONS(description='signal'),
  camera STRING NOT NULL OPTIONS(description='camera, empty if none'),
  bin INT64 NOT NULL OPTIONS(description='fixed bin'),
  n INT64 NOT NULL OPTIONS(description='observations')
)
PARTITION BY DATE(hour)
CLUSTER BY store_id, signal
OPTIONS(
  require_partition_filter = TRUE,
  description = 'Drift signal counts merged per hour, store and model.'
);
