-- Carts heard of since then: their newest state, and when they were last heard. A cart that never said that it is
-- online is not known to be.
MERGE carts_current AS t
USING (
  WITH states AS (
    SELECT store_id, cart_id, online, session, boot_id, model_digest, agent_version, simulated, received_at
    FROM cart_states_raw
    WHERE received_at >= @since
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY store_id, cart_id ORDER BY received_at DESC, session DESC, online
    ) = 1
  ),
  heard AS (
    SELECT store_id, cart_id, MAX(received_at) AS last_seen_at, LOGICAL_OR(simulated) AS simulated
    FROM (
      SELECT store_id, cart_id, simulated, received_at
      FROM telemetry_raw
      WHERE window_start >= @oldest AND received_at >= @since
      UNION ALL
      SELECT store_id, cart_id, simulated, received_at
      FROM events_raw
      WHERE event_at >= @oldest AND received_at >= @since
      UNION ALL
      SELECT store_id, cart_id, simulated, received_at
      FROM cart_states_raw
      WHERE received_at >= @since
    ) AS received
    GROUP BY store_id, cart_id
  )
  SELECT
    heard.store_id, heard.cart_id, heard.last_seen_at, heard.simulated, states.received_at AS state_at,
    states.online, states.session, states.boot_id, states.model_digest, states.agent_version
  FROM heard
  LEFT JOIN states ON states.store_id = heard.store_id AND states.cart_id = heard.cart_id
) AS s
ON t.store_id = s.store_id AND t.cart_id = s.cart_id
WHEN MATCHED THEN UPDATE SET
  online = COALESCE(s.online, t.online),
  session = COALESCE(s.session, t.session),
  boot_id = COALESCE(s.boot_id, t.boot_id),
  model_digest = IF(s.state_at IS NULL, t.model_digest, s.model_digest),
  agent_version = IF(s.state_at IS NULL, t.agent_version, s.agent_version),
  last_seen_at = GREATEST(t.last_seen_at, s.last_seen_at),
  changed_at = IF(s.online IS NULL OR s.online = t.online, t.changed_at, s.state_at),
  simulated = s.simulated
WHEN NOT MATCHED THEN
  INSERT (
    store_id, cart_id, online, session, boot_id, model_digest, agent_version, last_seen_at, changed_at, simulated
  )
  VALUES (
    s.store_id, s.cart_id, COALESCE(s.online, FALSE), COALESCE(s.session, -1), COALESCE(s.boot_id, ''),
    s.model_digest, s.agent_version, s.last_seen_at, COALESCE(s.state_at, s.last_seen_at), s.simulated
  )
