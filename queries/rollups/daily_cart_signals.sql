-- Drift signal counts per cart of the touched days.
MERGE daily_cart_signals AS t
USING (
  SELECT w.day, w.store_id, w.cart_id, g.signal, g.camera, g.bin, SUM(g.n) AS n
  FROM (
    SELECT DATE(window_start) AS day, store_id, cart_id, signals
    FROM telemetry_raw
    WHERE window_start >= @first AND window_start < @last AND DATE(window_start) IN UNNEST(@days)
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY window_start, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
    ) = 1
  ) AS w, UNNEST(w.signals) AS g
  GROUP BY w.day, w.store_id, w.cart_id, g.signal, g.camera, g.bin
) AS s
ON t.day >= DATE(@first) AND t.day < DATE(@last)
  AND t.day = s.day AND t.store_id = s.store_id AND t.cart_id = s.cart_id
  AND t.signal = s.signal AND t.camera = s.camera AND t.bin = s.bin
WHEN MATCHED AND t.n != s.n THEN UPDATE SET n = s.n
WHEN NOT MATCHED THEN
  INSERT (day, store_id, cart_id, signal, camera, bin, n)
  VALUES (s.day, s.store_id, s.cart_id, s.signal, s.camera, s.bin, s.n)
