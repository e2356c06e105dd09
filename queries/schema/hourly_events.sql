-- Item events and labels counted per hour, cart and model.
CREATE TABLE IF NOT EXISTS hourly_events (
  hour TIMESTAMP NOT NULL OPTIONS(description='start of the hour, UTC'),
  store_id STRING NOT NULL OPTIONS(description='store'),
  cart_id STRING NOT NULL OPTIONS(description='cart'),
  model_digest STRING NOT NULL OPTIONS(description='model; empty if none was loaded'),
  item_events INT64 NOT NULL OPTIONS(description='item events of the hour'),
  contradicted INT64 NOT NULL OPTIONS(description='of those, with a label that says otherwise'),
  labelled INT64 NOT NULL OPTIONS(description='of those, with any label'),
  corrections INT64 NOT NULL OPTIONS(description='correction rows of the hour'),
  scans INT64 NOT NULL OPTIONS(description='barcode rows of the hour'),
  audits INT64 NOT NULL OPTIONS(description='audit rows of the hour'),
  asked INT64 NOT NULL OPTIONS(description='item events for which the cart asked'),
  posterior_sum FLOAT64 NOT NULL OPTIONS(description='sum of the posteriors of the item events')
)
PARTITION BY DATE(hour)
CLUSTER BY store_id, cart_id
OPTIONS(
  require_partition_filter = TRUE,
  description = 'Item events and labels counted per hour, cart and model.'
);
