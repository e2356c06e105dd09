-- Item events of single carts with one model, and how many of them were contradicted within a fixed lag.
WITH seen AS (
  SELECT *
  FROM events_raw
  WHERE event_at >= @start AND event_at < TIMESTAMP_ADD(@end, INTERVAL @label_lag_s SECOND)
    AND cart_id IN UNNEST(@carts)
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY event_at, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
  ) = 1
),
decided AS (
  SELECT
    e.store_id, e.cart_id, e.boot_id, e.seq, e.row_ix, e.event_at,
    COUNTIF(
      l.event_id IS NOT NULL AND (
        l.item_id IS NULL OR l.item_id != COALESCE(e.item_id, '')
        OR (l.quantity IS NOT NULL AND l.quantity != COALESCE(e.quantity, -1))
        OR (l.direction IS NOT NULL AND l.direction != COALESCE(e.direction, ''))
      )
    ) > 0 AS is_contradicted
  FROM seen AS e
  LEFT JOIN (SELECT * FROM seen WHERE event_type != 'item' AND ref_event_id IS NOT NULL) AS l
    ON l.store_id = e.store_id AND l.cart_id = e.cart_id AND l.ref_event_id = e.event_id
      AND l.event_at < TIMESTAMP_ADD(e.event_at, INTERVAL @label_lag_s SECOND)
  WHERE e.event_type = 'item' AND e.event_at < @end AND e.model_digest = @model
  GROUP BY e.store_id, e.cart_id, e.boot_id, e.seq, e.row_ix, e.event_at
)
SELECT cart_id, COUNT(*) AS item_events, COUNTIF(is_contradicted) AS contradicted
FROM decided
GROUP BY cart_id
ORDER BY cart_id
