-- Drift signal counts of the touched hours.
MERGE hourly_signals AS t
USING (
  SELECT w.hour, w.store_id, w.model_digest, g.signal, g.camera, g.bin, SUM(g.n) AS n
  FROM (
    SELECT
      TIMESTAMP_TRUNC(window_start, HOUR) AS hour, store_id, COALESCE(model_digest, '') AS model_digest, signals
    FROM telemetry_raw
    WHERE window_start >= @first AND window_start < @last AND TIMESTAMP_TRUNC(window_start, HOUR) IN UNNEST(@hours)
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY window_start, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
    ) = 1
  ) AS w, UNNEST(w.signals) AS g
  GROUP BY w.hour, w.store_id, w.model_digest, g.signal, g.camera, g.bin
) AS s
ON t.hour >= @first AND t.hour < @last
  AND t.hour = s.hour AND t.store_id = s.store_id AND t.model_digest = s.model_digest
  AND t.signal = s.signal AND t.camera = s.camera AND t.bin = s.bin
WHEN MATCHED AND t.n != s.n THEN UPDATE SET n = s.n
WHEN NOT MATCHED THEN
  INSERT (hour, store_id, model_digest, signal, camera, bin, n)
  VALUES (s.hour, s.store_id, s.model_digest, s.signal, s.camera, s.bin, s.n)
