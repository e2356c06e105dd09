-- One row per item event or label of a cart, as received; duplicates possible, read the view events.
CREATE TABLE IF NOT EXISTS events_raw (
  store_id STRING NOT NULL OPTIONS(description='store, as in the topic'),
  cart_id STRING NOT NULL OPTIONS(description='cart, as in the topic'),
  boot_id STRING NOT NULL OPTIONS(description='random per boot of the agent, 16 hex digits'),
  channel STRING NOT NULL OPTIONS(description='tel, evt or upd: the last level of the topic'),
  seq INT64 NOT NULL OPTIONS(description='counts up from 0 per boot and channel'),
  row_ix INT64 NOT NULL OPTIONS(description='row within its message, from 0'),
  event_at TIMESTAMP NOT NULL OPTIONS(description='when it happened, cart clock'),
  event_id STRING NOT NULL OPTIONS(description='unique per cart'),
  event_type STRING NOT NULL OPTIONS(description='item, or a label: correction, scan, audit'),
  session_id STRING OPTIONS(description='shopping session'),
  item_id STRING OPTIONS(description='the item; null in a label means that nothing was moved'),
  quantity INT64 OPTIONS(description='pieces moved'),
  direction STRING OPTIONS(description='add or remove'),
  posterior FLOAT64 OPTIONS(description='probability the cart gave to its answer, 0 to 1'),
  top5 ARRAY<STRUCT<item_id STRING, probability FLOAT64>> OPTIONS(description='the likeliest items'),
  camera_confidence ARRAY<STRUCT<camera STRING, confidence FLOAT64>> OPTIONS(description='confidence of each camera, 0 to 1'),
  weight_change_g FLOAT64 OPTIONS(description='settled change of weight, grams'),
  weight_residual_g FLOAT64 OPTIONS(description='weight change minus what the answer would weigh, grams'),
  outcome STRING OPTIONS(description='accepted or asked'),
  ref_event_id STRING OPTIONS(description='the event a label speaks about'),
  ref_event_at TIMESTAMP OPTIONS(description='when that event happened'),
  sampling_probability FLOAT64 OPTIONS(description='probability with which an audit was drawn'),
  decision_ms FLOAT64 OPTIONS(description='camera to decision, milliseconds'),
  received_at TIMESTAMP NOT NULL OPTIONS(description='when ingest received the message, server clock'),
  agent_version STRING OPTIONS(description='version of the agent that wrote the message'),
  model_digest STRING OPTIONS(description='digest of the model that produced the row; null before one is loaded'),
  simulated BOOL NOT NULL OPTIONS(description='true for everything a simulated cart says'),
  extra STRING OPTIONS(description='JSON of the fields this version does not know')
)
PARTITION BY DATE(event_at)
CLUSTER BY store_id, cart_id
OPTIONS(
  require_partition_filter = TRUE,
  description = 'One row per item event or label of a cart, as received; duplicates possible, read the view events.'
);
