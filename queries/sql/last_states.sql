-- The newest state of each cart.
SELECT store_id, cart_id, boot_id, session, online, agent_version, model_digest, simulated
FROM cart_states_raw
WHERE received_at >= @since
QUALIFY ROW_NUMBER() OVER (PARTITION BY store_id, cart_id ORDER BY received_at DESC, session DESC, online) = 1
