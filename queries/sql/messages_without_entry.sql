-- Messages whose rows are durable but whose ledger entry is missing.
WITH stored AS (
  SELECT cart_id, boot_id, channel, seq, row_ix, received_at
  FROM telemetry_raw
  WHERE window_start >= @oldest AND received_at >= @since
  UNION ALL
  SELECT cart_id, boot_id, channel, seq, row_ix, received_at
  FROM events_raw
  WHERE event_at >= @oldest AND received_at >= @since
  UNION ALL
  SELECT cart_id, boot_id, channel, seq, row_ix, received_at
  FROM gaps_raw
  WHERE received_at >= @since
  UNION ALL
  SELECT cart_id, boot_id, channel, seq, row_ix, received_at
  FROM updates_raw
  WHERE updated_at >= @oldest AND received_at >= @since
)
SELECT
  s.cart_id, s.boot_id, s.channel, s.seq, MIN(s.received_at) AS received_at, COUNT(DISTINCT s.row_ix) AS row_count
FROM stored AS s
LEFT JOIN (
  SELECT DISTINCT cart_id, boot_id, channel, seq
  FROM ingest_ledger
  WHERE received_at >= @since
) AS l
  ON l.cart_id = s.cart_id AND l.boot_id = s.boot_id AND l.channel = s.channel AND l.seq = s.seq
WHERE l.cart_id IS NULL
GROUP BY s.cart_id, s.boot_id, s.channel, s.seq
