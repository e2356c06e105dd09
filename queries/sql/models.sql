-- The models that were at work.
SELECT model_digest, SUM(item_events) AS item_events, MIN(hour) AS first_at, MAX(hour) AS last_at
FROM hourly_events
WHERE hour >= @start AND hour < @end
GROUP BY model_digest
ORDER BY last_at DESC, model_digest
