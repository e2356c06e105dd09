-- Runs of settled messages per cart, boot and channel.
SELECT cart_id, boot_id, channel, MIN(seq) AS low, MAX(seq) AS high
FROM (
  SELECT
    cart_id, boot_id, channel, seq,
    seq - ROW_NUMBER() OVER (PARTITION BY cart_id, boot_id, channel ORDER BY seq) AS island
  FROM (
    SELECT DISTINCT cart_id, boot_id, channel, seq
    FROM ingest_ledger
    WHERE received_at >= @since
      AND (ARRAY_LENGTH(@boots) = 0 OR boot_id IN UNNEST(@boots))
  ) AS settled
) AS numbered
GROUP BY cart_id, boot_id, channel, island
