-- How often each item was answered, and how often wrongly.
SELECT
  h.item_id, MAX(i.name) AS name, MAX(i.category) AS category,
  SUM(h.item_events) AS item_events, SUM(h.contradicted) AS contradicted
FROM hourly_items AS h
LEFT JOIN items AS i ON i.item_id = h.item_id
WHERE h.hour >= @start AND h.hour < @end
  AND (ARRAY_LENGTH(@stores) = 0 OR h.store_id IN UNNEST(@stores))
  AND (ARRAY_LENGTH(@models) = 0 OR h.model_digest IN UNNEST(@models))
GROUP BY h.item_id
ORDER BY contradicted DESC, item_events DESC, h.item_id
