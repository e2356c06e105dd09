-- One row per telemetry window of a cart, as received; duplicates possible, read the view telemetry.
CREATE TABLE IF NOT EXISTS telemetry_raw (
  store_id STRING NOT NULL OPTIONS(description='store, as in the topic'),
  cart_id STRING NOT NULL OPTIONS(description='cart, as in the topic'),
  boot_id STRING NOT NULL OPTIONS(description='random per boot of the agent, 16 hex digits'),
  channel STRING NOT NULL OPTIONS(description='tel, evt or upd: the last level of the topic'),
  seq INT64 NOT NULL OPTIONS(description='counts up from 0 per boot and channel'),
  row_ix INT64 NOT NULL OPTIONS(description='row within its message, from 0'),
  window_start TIMESTAMP NOT NULL OPTIONS(description='start of the window, cart clock'),
  window_end TIMESTAMP NOT NULL OPTIONS(description='end of the window, cart clock'),
  windows_merged INT64 NOT NULL OPTIONS(description='how many windows the cart merged into this row'),
  histograms ARRAY<STRUCT<stage STRING, bucket INT64, n INT64>> OPTIONS(description='latency counts; bucket i covers (2^(i/32), 2^((i+1)/32)] ms'),
  signals ARRAY<STRUCT<signal STRING, camera STRING, bin INT64, n INT64>> OPTIONS(description='drift signals as counts over fixed bins; camera is empty where the signal has none'),
  counters ARRAY<STRUCT<name STRING, camera STRING, n INT64>> OPTIONS(description='counts within the window; camera is empty where the counter has none'),
  gauges ARRAY<STRUCT<name STRING, value FLOAT64>> OPTIONS(description='last value of each gauge in the window'),
  received_at TIMESTAMP NOT NULL OPTIONS(description='when ingest received the message, server clock'),
  agent_version STRING OPTIONS(description='version of the agent that wrote the message'),
  model_digest STRING OPTIONS(description='digest of the model that produced the row; null before one is loaded'),
  simulated BOOL NOT NULL OPTIONS(description='true for everything a simulated cart says'),
  extra STRING OPTIONS(description='JSON of the fields this version does not know')
)
PARTITION BY DATE(window_start)
CLUSTER BY store_id, cart_id
OPTIONS(
  require_partition_filter = TRUE,
  description = 'One row per telemetry window of a cart, as received; duplicates possible, read the view telemetry.'
);
