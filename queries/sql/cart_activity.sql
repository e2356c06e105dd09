-- Frames and drops per cart from the hourly rollups.
SELECT
  store_id, cart_id, SUM(windows) AS windows, SUM(frames) AS frames, SUM(dropped) AS dropped,
  MAX(last_window_end) AS last_window_end
FROM hourly_carts
WHERE hour >= @start AND hour < @end
  AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
  AND (ARRAY_LENGTH(@models) = 0 OR model_digest IN UNNEST(@models))
GROUP BY store_id, cart_id
ORDER BY store_id, cart_id
