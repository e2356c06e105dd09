-- What the carts said about their own health: newest value of each gauge, sum of each counter.
WITH windows AS (
  SELECT store_id, cart_id, window_end, gauges, counters
  FROM telemetry_raw
  WHERE window_start >= @start AND window_start < @end
    AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY window_start, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
  ) = 1
),
newest AS (
  SELECT w.store_id, w.cart_id, g.name, g.value, w.window_end
  FROM windows AS w, UNNEST(w.gauges) AS g
  WHERE g.value IS NOT NULL
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY w.store_id, w.cart_id, g.name ORDER BY w.window_end DESC
  ) = 1
),
counted AS (
  SELECT w.store_id, w.cart_id, c.name, c.camera, SUM(c.n) AS n, MAX(w.window_end) AS last_at
  FROM windows AS w, UNNEST(w.counters) AS c
  GROUP BY w.store_id, w.cart_id, c.name, c.camera
)
SELECT store_id, cart_id, 'gauge' AS kind, name, '' AS camera, value, window_end AS last_at
FROM newest
UNION ALL
SELECT store_id, cart_id, 'counter' AS kind, name, camera, CAST(n AS FLOAT64) AS value, last_at
FROM counted
ORDER BY store_id, cart_id, kind, name, camera
