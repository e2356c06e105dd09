-- Latency histograms of the touched hours.
MERGE hourly_latency AS t
USING (
  SELECT w.hour, w.store_id, w.model_digest, h.stage, h.bucket, SUM(h.n) AS n
  FROM (
    SELECT
      TIMESTAMP_TRUNC(window_start, HOUR) AS hour, store_id, COALESCE(model_digest, '') AS model_digest, histograms
    FROM telemetry_raw
    WHERE window_start >= @first AND window_start < @last AND TIMESTAMP_TRUNC(window_start, HOUR) IN UNNEST(@hours)
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY window_start, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
    ) = 1
  ) AS w, UNNEST(w.histograms) AS h
  GROUP BY w.hour, w.store_id, w.model_digest, h.stage, h.bucket
) AS s
ON t.hour >= @first AND t.hour < @last
  AND t.hour = s.hour AND t.store_id = s.store_id AND t.model_digest = s.model_digest
  AND t.stage = s.stage AND t.bucket = s.bucket
WHEN MATCHED AND t.n != s.n THEN UPDATE SET n = s.n
WHEN NOT MATCHED THEN
  INSERT (hour, store_id, model_digest, stage, bucket, n)
  VALUES (s.hour, s.store_id, s.model_digest, s.stage, s.bucket, s.n)
