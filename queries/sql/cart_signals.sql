-- Drift signals of some days and of the past, per cart and camera.
SELECT
  store_id, cart_id, signal, camera, bin,
  SUM(IF(day >= @now_first AND day <= @now_last, n, 0)) AS now_n,
  SUM(IF(day >= @reference_first AND day <= @reference_last, n, 0)) AS reference_n
FROM daily_cart_signals
WHERE ((day >= @now_first AND day <= @now_last) OR (day >= @reference_first AND day <= @reference_last))
  AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
GROUP BY store_id, cart_id, signal, camera, bin
ORDER BY store_id, cart_id, signal, camera, bin
