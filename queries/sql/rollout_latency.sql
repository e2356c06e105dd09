-- Decision times of item events of some carts with one model, as a histogram: bucket i covers (2^(i/32), 2^((i+1)/32)] ms.
WITH seen AS (
  SELECT decision_ms
  FROM events_raw
  WHERE event_at >= @start AND event_at < @end AND cart_id IN UNNEST(@carts)
    AND event_type = 'item' AND model_digest = @model AND decision_ms > 0
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY event_at, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
  ) = 1
)
SELECT CAST(CEIL(LN(decision_ms) / LN(2.0) * 32.0) - 1 AS INT64) AS bucket, COUNT(*) AS n
FROM seen
GROUP BY bucket
ORDER BY bucket
