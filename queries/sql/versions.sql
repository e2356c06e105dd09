-- The models and agents that carts ran.
SELECT
  model_digest, agent_version, COUNT(DISTINCT cart_id) AS carts, MIN(hour) AS first_at,
  MAX(last_window_end) AS last_at
FROM hourly_carts
WHERE hour >= @start AND hour < @end
  AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
GROUP BY model_digest, agent_version
ORDER BY last_at DESC, model_digest, agent_version
