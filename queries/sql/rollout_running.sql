-- What carts run by their newest telemetry: the digest, and how many windows in a row carry it.
WITH windows AS (
  SELECT store_id, cart_id, window_start, window_end, COALESCE(model_digest, '') AS model_digest, histograms
  FROM telemetry_raw
  WHERE window_start >= @since
    AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
    AND (ARRAY_LENGTH(@carts) = 0 OR cart_id IN UNNEST(@carts))
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY window_start, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
  ) = 1
),
compared AS (
  SELECT
    *,
    FIRST_VALUE(model_digest) OVER (
      PARTITION BY store_id, cart_id ORDER BY window_end DESC, window_start DESC
    ) AS newest_digest
  FROM windows
),
broken AS (
  SELECT
    *,
    SUM(IF(model_digest = newest_digest, 0, 1)) OVER (
      PARTITION BY store_id, cart_id ORDER BY window_end DESC, window_start DESC
    ) AS others_since
  FROM compared
)
SELECT
  store_id, cart_id, newest_digest AS model_digest, COUNT(*) AS windows, MAX(window_end) AS last_at,
  SUM((SELECT COALESCE(SUM(h.n), 0) FROM UNNEST(histograms) AS h WHERE h.stage = 'infer')) AS inferences
FROM broken
WHERE others_since = 0
GROUP BY store_id, cart_id, newest_digest
ORDER BY store_id, cart_id
