-- Drift signal counts merged per day (UTC) and cart.
CREATE TABLE IF NOT EXISTS daily_cart_signals (
  day DATE NOT NULL OPTIONS(description='UTC day'),
  store_id STRING NOT NULL OPTIONS(description='store'),
  cart_id STRING NOT NULL OPTIONS(description='cart'),
  signal STRING NOT NULL OPTIONS(description='signal'),
  camera STRING NOT NULL OPTIONS(description='camera, empty if none'),
  bin INT64 NOT NULL OPTIONS(description='fixed bin'),
  n INT64 NOT NULL OPTIONS(description='observations')
)
PARTITION BY day
CLUSTER BY store_id, cart_id
OPTIONS(
  require_partition_filter = TRUE,
  description = 'Drift signal counts merged per day (UTC) and cart.'
);
