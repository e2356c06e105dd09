-- Item events counted per hour, store, model and item the cart answered.
CREATE TABLE IF NOT EXISTS hourly_items (
  hour TIMESTAMP NOT NULL OPTIONS(description='start of the hour, UTC'),
  store_id STRING NOT NULL OPTIONS(description='store'),
  model_digest STRING NOT NULL OPTIONS(description='model; empty if none was loaded'),
  item_id STRING NOT NULL OPTIONS(description='item the cart answered'),
  item_events INT64 NOT NULL OPTIONS(description='item events'),
  contradicted INT64 NOT NULL OPTIONS(description='of those, with a label that says otherwise')
)
PARTITION BY DATE(hour)
CLUSTER BY store_id, item_id
OPTIONS(
  require_partition_filter = TRUE,
  description = 'Item events counted per hour, store, model and item the cart answered.'
);
