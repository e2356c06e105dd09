-- Hours whose rollups may no longer hold, because of rows received since then. A label re-opens the hour of the event
-- it refers to; one that does not say when that was re-opens its own day up to itself.
-- Counted per minute of receipt: what was counted already has the same count again.
SELECT
  source, hour, TIMESTAMP_TRUNC(received_at, MINUTE) AS minute, COUNT(*) AS row_count, MAX(received_at) AS received_until
FROM (
  SELECT 'telemetry' AS source, TIMESTAMP_TRUNC(window_start, HOUR) AS hour, received_at
  FROM telemetry_raw
  WHERE window_start >= @oldest AND received_at >= @since
  UNION ALL
  SELECT 'events' AS source, TIMESTAMP_TRUNC(event_at, HOUR) AS hour, received_at
  FROM events_raw
  WHERE event_at >= @oldest AND received_at >= @since
  UNION ALL
  SELECT 'events' AS source, TIMESTAMP_TRUNC(ref_event_at, HOUR) AS hour, received_at
  FROM events_raw
  WHERE event_at >= @oldest AND received_at >= @since AND ref_event_at >= @oldest
  UNION ALL
  SELECT 'events' AS source, hour, received_at
  FROM events_raw, UNNEST(GENERATE_TIMESTAMP_ARRAY(TIMESTAMP_TRUNC(event_at, DAY), event_at, INTERVAL 1 HOUR)) AS hour
  WHERE event_at >= @oldest AND received_at >= @since AND ref_event_id IS NOT NULL AND ref_event_at IS NULL
  UNION ALL
  SELECT 'states' AS source, TIMESTAMP_TRUNC(received_at, HOUR) AS hour, received_at
  FROM cart_states_raw
  WHERE received_at >= @since
) AS received
GROUP BY source, hour, minute
ORDER BY source, hour, minute
