-- The last known state of each cart.
CREATE TABLE IF NOT EXISTS carts_current (
  store_id STRING NOT NULL OPTIONS(description='store'),
  cart_id STRING NOT NULL OPTIONS(description='cart'),
  online BOOL NOT NULL OPTIONS(description='by the last birth or will that counts'),
  session INT64 NOT NULL OPTIONS(description='current connection'),
  boot_id STRING NOT NULL OPTIONS(description='current boot'),
  model_digest STRING OPTIONS(description='model of the last birth'),
  agent_version STRING OPTIONS(description='agent of the last birth'),
  last_seen_at TIMESTAMP NOT NULL OPTIONS(description='last message of any kind, server clock'),
  changed_at TIMESTAMP NOT NULL OPTIONS(description='when online last changed, server clock'),
  simulated BOOL NOT NULL OPTIONS(description='true for a simulated cart')
)
CLUSTER BY store_id
OPTIONS(
  description = 'The last known state of each cart.'
);
