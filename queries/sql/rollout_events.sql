-- Outcomes of canary and control carts in blocks of event time, each outcome fixed a fixed lag after its event.
WITH seen AS (
  SELECT *
  FROM events_raw
  WHERE event_at >= @start AND event_at < TIMESTAMP_ADD(@end, INTERVAL @label_lag_s SECOND)
    AND (cart_id IN UNNEST(@canary) OR cart_id IN UNNEST(@control))
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY event_at, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
  ) = 1
),
items AS (
  SELECT
    store_id, cart_id, boot_id, seq, row_ix, event_id, event_at, item_id, quantity, direction, decision_ms,
    CASE WHEN cart_id IN UNNEST(@canary) THEN 'canary' ELSE 'control' END AS side
  FROM seen
  WHERE event_type = 'item' AND event_at < @end
    AND (
      (cart_id IN UNNEST(@canary) AND model_digest = @model)
      OR (cart_id IN UNNEST(@control) AND model_digest = @baseline)
    )
),
decided AS (
  SELECT
    e.side, e.store_id, e.cart_id, e.boot_id, e.seq, e.row_ix, e.event_at,
    MAX(e.decision_ms) AS decision_ms,
    COUNTIF(
      l.event_id IS NOT NULL AND (
        l.item_id IS NULL OR l.item_id != COALESCE(e.item_id, '')
        OR (l.quantity IS NOT NULL AND l.quantity != COALESCE(e.quantity, -1))
        OR (l.direction IS NOT NULL AND l.direction != COALESCE(e.direction, ''))
      )
    ) > 0 AS is_contradicted
  FROM items AS e
  LEFT JOIN (SELECT * FROM seen WHERE event_type != 'item' AND ref_event_id IS NOT NULL) AS l
    ON l.store_id = e.store_id AND l.cart_id = e.cart_id AND l.ref_event_id = e.event_id
      AND l.event_at < TIMESTAMP_ADD(e.event_at, INTERVAL @label_lag_s SECOND)
  GROUP BY e.side, e.store_id, e.cart_id, e.boot_id, e.seq, e.row_ix, e.event_at
)
SELECT
  TIMESTAMP_SECONDS(DIV(UNIX_SECONDS(event_at), @block_s) * @block_s) AS `at`,
  side,
  COUNT(*) AS item_events,
  COUNTIF(is_contradicted) AS contradicted,
  COUNTIF(decision_ms IS NOT NULL) AS timed,
  COUNTIF(decision_ms > @threshold_ms) AS slow
FROM decided
GROUP BY `at`, side
ORDER BY `at`, side
