-- Item events per cart and block, with what was known of them at a fixed lag. A block never changes afterwards:
-- rows that ingest received later, and labels that came later, do not count in it.
WITH seen AS (
  SELECT
    store_id, cart_id, event_id, event_type, event_at, received_at, item_id, quantity, direction, decision_ms,
    ref_event_id, COALESCE(model_digest, '') AS model_digest
  FROM events_raw
  WHERE event_at >= @start AND event_at < TIMESTAMP_ADD(@end, INTERVAL @label_lag_s SECOND)
    AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY store_id, cart_id, event_id ORDER BY received_at, event_at, boot_id, seq, row_ix
  ) = 1
),
placed AS (
  SELECT *, DIV(UNIX_MICROS(event_at) - UNIX_MICROS(@start), @block_s * 1000000) AS block
  FROM seen
  WHERE event_type = 'item' AND event_at < @end AND model_digest IN UNNEST(@models)
),
closing AS (
  SELECT *, TIMESTAMP_ADD(@start, INTERVAL (block + 1) * @block_s + @close_s SECOND) AS closes_at
  FROM placed
),
decided AS (
  SELECT
    e.block, e.store_id, e.cart_id, e.model_digest, e.event_id, MAX(e.decision_ms) AS decision_ms,
    COUNTIF(
      l.event_id IS NOT NULL AND (
        l.item_id IS NULL OR l.item_id != COALESCE(e.item_id, '')
        OR (l.quantity IS NOT NULL AND l.quantity != COALESCE(e.quantity, -1))
        OR (l.direction IS NOT NULL AND l.direction != COALESCE(e.direction, ''))
      )
    ) > 0 AS is_contradicted
  FROM closing AS e
  LEFT JOIN (SELECT * FROM seen WHERE event_type != 'item' AND ref_event_id IS NOT NULL) AS l
    ON l.store_id = e.store_id AND l.cart_id = e.cart_id AND l.ref_event_id = e.event_id
    AND l.event_at <= TIMESTAMP_ADD(e.event_at, INTERVAL @label_lag_s SECOND) AND l.received_at <= e.closes_at
  WHERE e.received_at <= e.closes_at
  GROUP BY e.block, e.store_id, e.cart_id, e.model_digest, e.event_id
)
SELECT
  block, store_id, cart_id, model_digest, COUNT(*) AS item_events, COUNTIF(is_contradicted) AS contradicted,
  COUNT(decision_ms) AS timed, COUNTIF(decision_ms > @slow_ms) AS slow
FROM decided
GROUP BY block, store_id, cart_id, model_digest
ORDER BY block, store_id, cart_id, model_digest
