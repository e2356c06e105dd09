-- How fresh the rollups and the carts are: one row.
SELECT
  (SELECT MAX(received_until) FROM rollup_runs) AS counted_until,
  (SELECT MAX(finished_at) FROM rollup_runs) AS finished_at,
  (SELECT MAX(last_seen_at) FROM carts_current) AS last_seen_at
