-- Item events per cart from the raw rows, without duplicates.
WITH seen AS (
  SELECT *
  FROM events_raw
  WHERE event_at >= @start
    AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY event_at, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
  ) = 1
),
decided AS (
  SELECT
    e.store_id, e.cart_id, e.boot_id, e.seq, e.row_ix, e.event_at,
    MAX(e.posterior) AS posterior, MAX(e.outcome) AS outcome, COUNT(l.event_id) > 0 AS is_labelled,
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
  WHERE e.event_type = 'item' AND e.event_at < @end
    AND (ARRAY_LENGTH(@models) = 0 OR COALESCE(e.model_digest, '') IN UNNEST(@models))
  GROUP BY e.store_id, e.cart_id, e.boot_id, e.seq, e.row_ix, e.event_at
)
SELECT
  store_id, cart_id,
  COUNT(*) AS item_events, COUNTIF(is_contradicted) AS contradicted, COUNTIF(is_labelled) AS labelled,
  COUNTIF(outcome = 'asked') AS asked
FROM decided
GROUP BY store_id, cart_id
ORDER BY store_id, cart_id
