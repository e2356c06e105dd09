-- One stage's merged histograms over time, from the raw windows without duplicates.
SELECT
  TIMESTAMP_SECONDS(DIV(UNIX_SECONDS(w.window_start), @step_s) * @step_s) AS `at`, h.bucket, SUM(h.n) AS n
FROM (
  SELECT window_start, histograms
  FROM telemetry_raw
  WHERE window_start >= @start AND window_start < @end
    AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
    AND (ARRAY_LENGTH(@models) = 0 OR COALESCE(model_digest, '') IN UNNEST(@models))
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY window_start, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
  ) = 1
) AS w, UNNEST(w.histograms) AS h
WHERE h.stage = @stage
GROUP BY `at`, h.bucket
ORDER BY `at`, h.bucket
