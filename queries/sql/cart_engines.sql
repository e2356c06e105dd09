-- What runs the model on each cart, by its newest birth.
SELECT store_id, cart_id, engine, hardware, received_at AS born_at
FROM cart_states_raw
WHERE received_at >= @start AND received_at < @end AND online
  AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
QUALIFY ROW_NUMBER() OVER (PARTITION BY store_id, cart_id ORDER BY received_at DESC) = 1
ORDER BY store_id, cart_id
