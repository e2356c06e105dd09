-- From when until when there are item events; nulls when there are none.
SELECT
  MIN(hour) AS first_at, MAX(hour) AS last_at, COUNT(DISTINCT store_id) AS stores,
  COALESCE(SUM(item_events), 0) AS item_events
FROM hourly_events
WHERE hour >= @oldest
