-- Runs of messages that carts declared they will never send.
SELECT DISTINCT cart_id, boot_id, channel, seq_from, seq_to
FROM gaps_raw
WHERE received_at >= @since
  AND (ARRAY_LENGTH(@boots) = 0 OR boot_id IN UNNEST(@boots))
