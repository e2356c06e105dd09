-- One drift signal per cart, camera and day.
SELECT day, store_id, cart_id, camera, bin, SUM(n) AS n
FROM daily_cart_signals
WHERE day >= @first AND day <= @last AND signal = @signal
  AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
GROUP BY day, store_id, cart_id, camera, bin
ORDER BY day, store_id, cart_id, camera, bin
