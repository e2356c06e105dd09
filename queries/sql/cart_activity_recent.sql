-- Frames and drops per cart from the raw windows, without duplicates.
SELECT
  store_id, cart_id, SUM(windows_merged) AS windows, SUM(frames) AS frames, SUM(dropped) AS dropped,
  MAX(window_end) AS last_window_end
FROM (
  SELECT
    store_id, cart_id, windows_merged, window_end,
    (SELECT COALESCE(SUM(c.n), 0) FROM UNNEST(counters) AS c WHERE c.name = 'frames') AS frames,
    (SELECT COALESCE(SUM(c.n), 0) FROM UNNEST(counters) AS c WHERE STARTS_WITH(c.name, 'drop_')) AS dropped
  FROM telemetry_raw
  WHERE window_start >= @start AND window_start < @end
    AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
    AND (ARRAY_LENGTH(@models) = 0 OR COALESCE(model_digest, '') IN UNNEST(@models))
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY window_start, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
  ) = 1
) AS w
GROUP BY store_id, cart_id
ORDER BY store_id, cart_id
