-- Births and wills of carts, as received.
CREATE TABLE IF NOT EXISTS cart_states_raw (
  store_id STRING NOT NULL OPTIONS(description='store, as in the topic'),
  cart_id STRING NOT NULL OPTIONS(description='cart, as in the topic'),
  boot_id STRING NOT NULL OPTIONS(description='boot of the agent'),
  session INT64 NOT NULL OPTIONS(description='counts up by one per connection'),
  online BOOL NOT NULL OPTIONS(description='true for a birth, false for a will'),
  agent_version STRING OPTIONS(description='version of the agent'),
  model_digest STRING OPTIONS(description='loaded model'),
  cameras ARRAY<STRING> OPTIONS(description='names of the cameras'),
  hardware STRING OPTIONS(description='what the cart runs on'),
  engine STRING OPTIONS(description='what runs the model there: runtime, version, precision, device'),
  labels ARRAY<STRUCT<name STRING, value STRING>> OPTIONS(description='given by the owner of the cart'),
  reason STRING OPTIONS(description='stopped, when the agent stopped cleanly'),
  simulated BOOL NOT NULL OPTIONS(description='true for a simulated cart'),
  cart_clock TIMESTAMP OPTIONS(description='time on the cart when it spoke'),
  received_at TIMESTAMP NOT NULL OPTIONS(description='when ingest received it, server clock')
)
PARTITION BY DATE(received_at)
CLUSTER BY store_id, cart_id
OPTIONS(
  require_partition_filter = TRUE,
  description = 'Births and wills of carts, as received.'
);
