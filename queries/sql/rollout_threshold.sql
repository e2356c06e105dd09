-- A quantile of camera to decision over carts that ran a model, each event once: by nearest rank.
WITH timed AS (
  SELECT decision_ms
  FROM events_raw
  WHERE event_at >= @start AND event_at < @end AND event_type = 'item' AND decision_ms IS NOT NULL
    AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
    AND COALESCE(model_digest, '') IN UNNEST(@models)
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY store_id, cart_id, event_id ORDER BY received_at, event_at, boot_id, seq, row_ix
  ) = 1
),
ranked AS (
  SELECT decision_ms, ROW_NUMBER() OVER (ORDER BY decision_ms) AS place, COUNT(*) OVER () AS total
  FROM timed
)
SELECT MIN(IF(place >= @quantile * total, decision_ms, NULL)) AS threshold_ms, COUNT(*) AS n
FROM ranked
