-- When ingest last heard of some carts: nothing after it can be known to be complete.
SELECT MAX(received_at) AS received_at
FROM telemetry_raw
WHERE window_start >= @start AND cart_id IN UNNEST(@carts)
