-- The newest dead letters.
SELECT topic, payload_sha256
FROM dead_letters
WHERE received_at >= @since
ORDER BY received_at DESC
LIMIT 20000
