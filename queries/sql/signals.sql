-- Drift signals of a window and of the past, per store; all cameras together.
SELECT
  store_id, signal, bin,
  SUM(IF(hour >= @now_start AND hour < @now_end, n, 0)) AS now_n,
  SUM(IF(
    hour >= @reference_start AND hour < @reference_end
    AND (ARRAY_LENGTH(@hours) = 0 OR EXTRACT(HOUR FROM hour) IN UNNEST(@hours)), n, 0
  )) AS reference_n
FROM hourly_signals
WHERE ((hour >= @now_start AND hour < @now_end) OR (hour >= @reference_start AND hour < @reference_end))
  AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
  AND (ARRAY_LENGTH(@models) = 0 OR model_digest IN UNNEST(@models))
GROUP BY store_id, signal, bin
ORDER BY store_id, signal, bin
