-- Latency histograms merged per store, model and stage, from the raw windows without duplicates.
SELECT w.store_id, w.model_digest, h.stage, h.bucket, SUM(h.n) AS n
FROM (
  SELECT store_id, COALESCE(model_digest, '') AS model_digest, histograms
  FROM telemetry_raw
  WHERE window_start >= @start AND window_start < @end
    AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
    AND (ARRAY_LENGTH(@models) = 0 OR COALESCE(model_digest, '') IN UNNEST(@models))
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY window_start, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
  ) = 1
) AS w, UNNEST(w.histograms) AS h
GROUP BY w.store_id, w.model_digest, h.stage, h.bucket
ORDER BY w.store_id, w.model_digest, h.stage, h.bucket
