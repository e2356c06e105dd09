-- The carts of a store: their state and what they did.
WITH counted AS (
  SELECT
    store_id, cart_id, SUM(item_events) AS item_events, SUM(contradicted) AS contradicted,
    SUM(labelled) AS labelled, SUM(asked) AS asked
  FROM hourly_events
  WHERE hour >= @start AND hour < @end
    AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
  GROUP BY store_id, cart_id
),
active AS (
  SELECT
    store_id, cart_id, SUM(windows) AS windows, SUM(frames) AS frames, SUM(dropped) AS dropped
  FROM hourly_carts
  WHERE hour >= @start AND hour < @end
    AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
  GROUP BY store_id, cart_id
)
SELECT
  c.store_id, c.cart_id, c.online, c.model_digest, c.agent_version, c.last_seen_at, c.changed_at, c.simulated,
  COALESCE(e.item_events, 0) AS item_events, COALESCE(e.contradicted, 0) AS contradicted,
  COALESCE(e.labelled, 0) AS labelled, COALESCE(e.asked, 0) AS asked,
  COALESCE(a.windows, 0) AS windows, COALESCE(a.frames, 0) AS frames, COALESCE(a.dropped, 0) AS dropped
FROM carts_current AS c
LEFT JOIN counted AS e ON e.store_id = c.store_id AND e.cart_id = c.cart_id
LEFT JOIN active AS a ON a.store_id = c.store_id AND a.cart_id = c.cart_id
WHERE ARRAY_LENGTH(@stores) = 0 OR c.store_id IN UNNEST(@stores)
ORDER BY c.store_id, c.cart_id
