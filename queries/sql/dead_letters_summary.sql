-- Messages put aside, by reason, with the newest as an example.
SELECT
  reason, COUNT(*) AS messages, SUM(payload_bytes) AS payload_bytes, COUNT(DISTINCT cart_id) AS carts,
  MAX(received_at) AS newest_at, ANY_VALUE(topic HAVING MAX received_at) AS topic,
  ANY_VALUE(detail HAVING MAX received_at) AS detail
FROM dead_letters
WHERE received_at >= @start AND received_at < @end
GROUP BY reason
ORDER BY messages DESC, reason
