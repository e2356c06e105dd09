-- Latency histograms merged per hour, store, model and stage.
CREATE TABLE IF NOT EXISTS hourly_latency (
  hour TIMESTAMP NOT NULL OPTIONS(description='start of the hour, UTC'),
  store_id STRING NOT NULL OPTIONS(description='store'),
  model_digest STRING NOT NULL OPTIONS(description='model; empty if none was loaded'),
  stage STRING NOT NULL OPTIONS(description='pipeline stage'),
  bucket INT64 NOT NULL OPTIONS(description='bucket i covers (2^(i/32), 2^((i+1)/32)] ms'),
  n INT64 NOT NULL OPTIONS(description='observations')
)
PARTITION BY DATE(hour)
CLUSTER BY store_id
OPTIONS(
  require_partition_filter = TRUE,
  description = 'Latency histograms merged per hour, store, model and stage.'
);
