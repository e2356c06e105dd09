-- What each cart did in the touched hours.
MERGE hourly_carts AS t
USING (
  SELECT
    hour, store_id, cart_id, model_digest, agent_version,
    SUM(windows_merged) AS windows, SUM(frames) AS frames, SUM(dropped) AS dropped,
    MAX(window_end) AS last_window_end, LOGICAL_OR(simulated) AS simulated
  FROM (
    SELECT
      TIMESTAMP_TRUNC(window_start, HOUR) AS hour, store_id, cart_id,
      COALESCE(model_digest, '') AS model_digest, COALESCE(agent_version, '') AS agent_version,
      windows_merged, window_end, simulated,
      (SELECT COALESCE(SUM(c.n), 0) FROM UNNEST(counters) AS c WHERE c.name = 'frames') AS frames,
      (SELECT COALESCE(SUM(c.n), 0) FROM UNNEST(counters) AS c WHERE STARTS_WITH(c.name, 'drop_')) AS dropped
    FROM telemetry_raw
    WHERE window_start >= @first AND window_start < @last AND TIMESTAMP_TRUNC(window_start, HOUR) IN UNNEST(@hours)
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY window_start, store_id, cart_id, boot_id, channel, seq, row_ix ORDER BY received_at
    ) = 1
  ) AS w
  GROUP BY hour, store_id, cart_id, model_digest, agent_version
) AS s
ON t.hour >= @first AND t.hour < @last
  AND t.hour = s.hour AND t.store_id = s.store_id AND t.cart_id = s.cart_id
  AND t.model_digest = s.model_digest AND t.agent_version = s.agent_version
WHEN MATCHED AND (t.windows != s.windows OR t.frames != s.frames OR t.dropped != s.dropped) THEN UPDATE SET
  windows = s.windows, frames = s.frames, dropped = s.dropped,
  last_window_end = s.last_window_end, simulated = s.simulated
WHEN NOT MATCHED THEN
  INSERT (
    hour, store_id, cart_id, model_digest, agent_version, windows, frames, dropped, last_window_end, simulated
  )
  VALUES (
    s.hour, s.store_id, s.cart_id, s.model_digest, s.agent_version, s.windows, s.frames, s.dropped,
    s.last_window_end, s.simulated
  )
