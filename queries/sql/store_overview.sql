-- One row per store: what its carts did, how fast, and how many are there.
WITH counted AS (
  SELECT
    store_id, SUM(item_events) AS item_events, SUM(contradicted) AS contradicted, SUM(labelled) AS labelled,
    SUM(asked) AS asked
  FROM hourly_events
  WHERE hour >= @start AND hour < @end
    AND (ARRAY_LENGTH(@models) = 0 OR model_digest IN UNNEST(@models))
  GROUP BY store_id
),
buckets AS (
  SELECT
    store_id, bucket,
    SUM(SUM(n)) OVER (PARTITION BY store_id ORDER BY bucket) AS seen,
    SUM(SUM(n)) OVER (PARTITION BY store_id) AS total
  FROM hourly_latency
  WHERE hour >= @start AND hour < @end AND stage = 'camera_to_decision'
    AND (ARRAY_LENGTH(@models) = 0 OR model_digest IN UNNEST(@models))
  GROUP BY store_id, bucket
),
latencies AS (
  SELECT
    store_id, POW(2.0, (MIN(IF(seen >= 0.95 * total, bucket, NULL)) + 0.5) / 32.0) AS p95_ms,
    MAX(total) AS decisions
  FROM buckets
  GROUP BY store_id
),
present AS (
  SELECT
    store_id, COUNT(*) AS carts, COUNTIF(online) AS carts_online, MAX(last_seen_at) AS last_seen_at,
    ARRAY_AGG(DISTINCT model_digest IGNORE NULLS ORDER BY model_digest) AS models,
    LOGICAL_OR(simulated) AS simulated
  FROM carts_current
  GROUP BY store_id
),
known AS (
  SELECT store_id FROM stores
  UNION DISTINCT
  SELECT store_id FROM present
  UNION DISTINCT
  SELECT store_id FROM counted
)
SELECT
  k.store_id, s.name, s.city,
  COALESCE(c.item_events, 0) AS item_events, COALESCE(c.contradicted, 0) AS contradicted,
  COALESCE(c.labelled, 0) AS labelled, COALESCE(c.asked, 0) AS asked,
  l.p95_ms, COALESCE(l.decisions, 0) AS decisions,
  COALESCE(p.carts, 0) AS carts, COALESCE(p.carts_online, 0) AS carts_online, p.models, p.last_seen_at,
  COALESCE(s.simulated, p.simulated, FALSE) AS simulated
FROM known AS k
LEFT JOIN stores AS s ON s.store_id = k.store_id
LEFT JOIN counted AS c ON c.store_id = k.store_id
LEFT JOIN latencies AS l ON l.store_id = k.store_id
LEFT JOIN present AS p ON p.store_id = k.store_id
WHERE ARRAY_LENGTH(@stores) = 0 OR k.store_id IN UNNEST(@stores)
ORDER BY k.store_id
