-- Item events per cart from the hourly rollups.
SELECT
  store_id, cart_id,
  SUM(item_events) AS item_events, SUM(contradicted) AS contradicted, SUM(labelled) AS labelled, SUM(asked) AS asked
FROM hourly_events
WHERE hour >= @start AND hour < @end
  AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
  AND (ARRAY_LENGTH(@models) = 0 OR model_digest IN UNNEST(@models))
GROUP BY store_id, cart_id
ORDER BY store_id, cart_id
