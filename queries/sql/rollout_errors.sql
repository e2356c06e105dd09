-- Errors and inferences of canary and control carts in blocks of time: a telemetry window counts where it ends.
WITH windows AS (
  SELECT
    CASE WHEN cart_id IN UNNEST(@canary) THEN 'canary' ELSE 'control' END AS side,
    window_end, histograms, counters
  FROM telemetry_raw
  WHERE window_start >= TIMESTAMP_SUB(@start, INTERVAL 1 DAY) AND window_start < @end
    AND window_end >= @start AND window_end < @end
    AND (
      (cart_id IN UNNEST(@canary) AND model_digest = @model)
      OR (cart_id IN UNNEST(@control) AND model_digest = @baseline)
    )
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY window_start, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
  ) = 1
),
counted AS (
  SELECT side, window_end, 0 AS inferences, c.n AS errors
  FROM windows, UNNEST(counters) AS c
  WHERE c.name IN ('engine_errors', 'engine_not_finite', 'vision_failed', 'decider_failed')
  UNION ALL
  SELECT side, window_end, h.n AS inferences, 0 AS errors
  FROM windows, UNNEST(histograms) AS h
  WHERE h.stage = 'infer'
)
SELECT
  TIMESTAMP_SECONDS(DIV(UNIX_SECONDS(window_end), @block_s) * @block_s) AS `at`,
  side,
  SUM(errors) AS errors,
  SUM(inferences) AS inferences
FROM counted
GROUP BY `at`, side
ORDER BY `at`, side
