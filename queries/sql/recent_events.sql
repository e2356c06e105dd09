-- The newest item events, each with its newest label if it has one.
WITH seen AS (
  SELECT *
  FROM events_raw
  WHERE event_at >= @start
    AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY event_at, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
  ) = 1
),
newest AS (
  SELECT *
  FROM seen
  WHERE event_type = 'item' AND event_at < @end
    AND (ARRAY_LENGTH(@models) = 0 OR COALESCE(model_digest, '') IN UNNEST(@models))
  ORDER BY event_at DESC, cart_id, event_id
  LIMIT @max_events
),
labels AS (
  SELECT store_id, cart_id, ref_event_id, event_type, item_id, quantity, direction
  FROM seen
  WHERE event_type != 'item' AND ref_event_id IS NOT NULL
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY store_id, cart_id, ref_event_id ORDER BY event_at DESC, received_at DESC, event_id
  ) = 1
)
SELECT
  e.event_at, e.store_id, e.cart_id, e.event_id, e.session_id, e.item_id, e.quantity, e.direction, e.posterior,
  e.outcome, e.weight_change_g, e.weight_residual_g, e.decision_ms, e.model_digest, e.simulated,
  l.event_type AS label_type, l.item_id AS label_item_id, l.quantity AS label_quantity,
  l.direction AS label_direction
FROM newest AS e
LEFT JOIN labels AS l
  ON l.store_id = e.store_id AND l.cart_id = e.cart_id AND l.ref_event_id = e.event_id
ORDER BY e.event_at DESC, e.cart_id, e.event_id
