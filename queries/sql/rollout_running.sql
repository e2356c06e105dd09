-- What carts run, as their telemetry shows: the newest digest, and for how many windows in a row.
WITH windows AS (
  SELECT
    cart_id, window_end, COALESCE(model_digest, '') AS model_digest,
    COALESCE((SELECT SUM(h.n) FROM UNNEST(histograms) AS h WHERE h.stage = 'infer'), 0) AS inferences
  FROM telemetry_raw
  WHERE window_start >= @start AND cart_id IN UNNEST(@carts)
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY window_start, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
  ) = 1
),
newest AS (
  SELECT cart_id, model_digest, window_end
  FROM windows
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (PARTITION BY cart_id ORDER BY window_end DESC) = 1
),
other AS (
  SELECT w.cart_id, MAX(w.window_end) AS last_other
  FROM windows AS w
  JOIN newest AS n ON n.cart_id = w.cart_id
  WHERE w.model_digest != n.model_digest
  GROUP BY w.cart_id
)
SELECT
  n.cart_id, n.model_digest, COUNT(*) AS windows, SUM(w.inferences) AS inferences,
  MAX(w.window_end) AS last_at
FROM newest AS n
JOIN windows AS w ON w.cart_id = n.cart_id AND w.model_digest = n.model_digest
LEFT JOIN other AS o ON o.cart_id = n.cart_id
WHERE o.last_other IS NULL OR w.window_end > o.last_other
GROUP BY n.cart_id, n.model_digest
ORDER BY n.cart_id
