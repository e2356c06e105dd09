-- Ranges of messages that a cart declared it will never send.
CREATE TABLE IF NOT EXISTS gaps_raw (
  store_id STRING NOT NULL OPTIONS(description='store, as in the topic'),
  cart_id STRING NOT NULL OPTIONS(description='cart, as in the topic'),
  boot_id STRING NOT NULL OPTIONS(description='random per boot of the agent, 16 hex digits'),
  channel STRING NOT NULL OPTIONS(description='tel, evt or upd: the last level of the topic'),
  seq INT64 NOT NULL OPTIONS(description='counts up from 0 per boot and channel'),
  row_ix INT64 NOT NULL OPTIONS(description='row within its message, from 0'),
  seq_from INT64 NOT NULL OPTIONS(description='first sequence number of the gap'),
  seq_to INT64 NOT NULL OPTIONS(description='last sequence number of the gap'),
  messages INT64 NOT NULL OPTIONS(description='messages lost or merged'),
  reason STRING NOT NULL OPTIONS(description='evicted or merged'),
  received_at TIMESTAMP NOT NULL OPTIONS(description='when ingest received the message, server clock'),
  agent_version STRING OPTIONS(description='version of the agent that wrote the message'),
  model_digest STRING OPTIONS(description='digest of the model that produced the row; null before one is loaded'),
  simulated BOOL NOT NULL OPTIONS(description='true for everything a simulated cart says'),
  extra STRING OPTIONS(description='JSON of the fields this version does not know')
)
PARTITION BY DATE(received_at)
CLUSTER BY store_id, cart_id
OPTIONS(
  require_partition_filter = TRUE,
  description = 'Ranges of messages that a cart declared it will never send.'
);
