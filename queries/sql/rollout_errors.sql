-- Errors of the engine and around it per cart and block, and how often it was asked, from telemetry windows that
-- ingest received within a fixed lag: a window counts where it ends. A block never changes afterwards.
WITH windows AS (
  SELECT
    store_id, cart_id, COALESCE(model_digest, '') AS model_digest, histograms, counters,
    DIV(UNIX_MICROS(window_end) - UNIX_MICROS(@start), @block_s * 1000000) AS block, received_at
  FROM telemetry_raw
  WHERE window_start >= TIMESTAMP_SUB(@start, INTERVAL 1 DAY) AND window_start < @end
    AND window_end >= @start AND window_end < @end
    AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
    AND COALESCE(model_digest, '') IN UNNEST(@models)
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY window_start, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
  ) = 1
),
in_time AS (
  SELECT *
  FROM windows
  WHERE received_at <= TIMESTAMP_ADD(@start, INTERVAL (block + 1) * @block_s + @close_s SECOND)
),
counted AS (
  SELECT block, store_id, cart_id, model_digest, 0 AS errors, h.n AS inferences
  FROM in_time, UNNEST(histograms) AS h
  WHERE h.stage = 'infer'
  UNION ALL
  SELECT block, store_id, cart_id, model_digest, c.n AS errors, 0 AS inferences
  FROM in_time, UNNEST(counters) AS c
  WHERE c.name IN ('engine_errors', 'engine_not_finite', 'vision_failed', 'decider_failed')
)
SELECT
  block, store_id, cart_id, model_digest, SUM(errors) AS errors, SUM(errors) + SUM(inferences) AS inferences
FROM counted
GROUP BY block, store_id, cart_id, model_digest
ORDER BY block, store_id, cart_id, model_digest
