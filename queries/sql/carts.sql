-- The last known state of each cart.
SELECT
  store_id, cart_id, online, model_digest, agent_version, last_seen_at, changed_at, simulated
FROM carts_current
WHERE ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores)
ORDER BY store_id, cart_id
