-- One row per finished run of the rollups; the newest tells where the next begins.
CREATE TABLE IF NOT EXISTS rollup_runs (
  finished_at TIMESTAMP NOT NULL OPTIONS(description='when the run ended'),
  received_until TIMESTAMP NOT NULL OPTIONS(description='rows received up to here are counted'),
  hours INT64 NOT NULL OPTIONS(description='hours recomputed'),
  seconds FLOAT64 NOT NULL OPTIONS(description='how long it took')
)
OPTIONS(
  description = 'One row per finished run of the rollups; the newest tells where the next begins.'
);
