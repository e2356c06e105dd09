-- Progress of model updates as the carts report it.
CREATE TABLE IF NOT EXISTS updates_raw (
  store_id STRING NOT NULL OPTIONS(description='store, as in the topic'),
  cart_id STRING NOT NULL OPTIONS(description='cart, as in the topic'),
  boot_id STRING NOT NULL OPTIONS(description='random per boot of the agent, 16 hex digits'),
  channel STRING NOT NULL OPTIONS(description='tel, evt or upd: the last level of the topic'),
  seq INT64 NOT NULL OPTIONS(description='counts up from 0 per boot and channel'),
  row_ix INT64 NOT NULL OPTIONS(description='row within its message, from 0'),
  updated_at TIMESTAMP NOT NULL OPTIONS(description='cart clock'),
  state STRING NOT NULL OPTIONS(description='IDLE, FETCHING, and so on'),
  target_digest STRING OPTIONS(description='the model being installed'),
  reason STRING OPTIONS(description='why, when it failed'),
  rollout_id STRING OPTIONS(description='the rollout that asked for it; null without one'),
  attempt INT64 OPTIONS(description='which try of that rollout, from 1; 0 without one'),
  step INT64 OPTIONS(description='counts up within a try'),
  received_at TIMESTAMP NOT NULL OPTIONS(description='when ingest received the message, server clock'),
  agent_version STRING OPTIONS(description='version of the agent that wrote the message'),
  model_digest STRING OPTIONS(description='digest of the model that produced the row; null before one is loaded'),
  simulated BOOL NOT NULL OPTIONS(description='true for everything a simulated cart says'),
  extra STRING OPTIONS(description='JSON of the fields this version does not know')
)
PARTITION BY DATE(updated_at)
CLUSTER BY store_id, cart_id
OPTIONS(
  require_partition_filter = TRUE,
  description = 'Progress of model updates as the carts report it.'
);
