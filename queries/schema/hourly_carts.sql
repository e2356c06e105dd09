-- What each cart did per hour.
CREATE TABLE IF NOT EXISTS hourly_carts (
  hour TIMESTAMP NOT NULL OPTIONS(description='start of the hour, UTC'),
  store_id STRING NOT NULL OPTIONS(description='store'),
  cart_id STRING NOT NULL OPTIONS(description='cart'),
  model_digest STRING NOT NULL OPTIONS(description='model; empty if none was loaded'),
  agent_version STRING NOT NULL OPTIONS(description='version of the agent; empty if unknown'),
  windows INT64 NOT NULL OPTIONS(description='telemetry windows, merged ones counted apart'),
  frames INT64 NOT NULL OPTIONS(description='frames captured, all cameras'),
  dropped INT64 NOT NULL OPTIONS(description='frames dropped, all causes'),
  last_window_end TIMESTAMP NOT NULL OPTIONS(description='end of the last window, cart clock'),
  simulated BOOL NOT NULL OPTIONS(description='true for a simulated cart')
)
PARTITION BY DATE(hour)
CLUSTER BY store_id, cart_id
OPTIONS(
  require_partition_filter = TRUE,
  description = 'What each cart did per hour.'
);
