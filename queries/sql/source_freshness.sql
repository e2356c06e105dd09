-- The newest row of each kind among those received since then.
SELECT 'telemetry' AS source, MAX(received_at) AS received_at, COUNT(*) AS row_count
FROM telemetry_raw
WHERE window_start >= @since
UNION ALL
SELECT 'events' AS source, MAX(received_at) AS received_at, COUNT(*) AS row_count
FROM events_raw
WHERE event_at >= @since
UNION ALL
SELECT 'cart states' AS source, MAX(received_at) AS received_at, COUNT(*) AS row_count
FROM cart_states_raw
WHERE received_at >= @since
UNION ALL
SELECT 'dead letters' AS source, MAX(received_at) AS received_at, COUNT(*) AS row_count
FROM dead_letters
WHERE received_at >= @since
ORDER BY source
