-- The fleet's numbers for a period and for the one before it.
WITH counted AS (
  SELECT
    IF(hour >= @start, 'current', 'previous') AS period,
    SUM(item_events) AS item_events, SUM(contradicted) AS contradicted, SUM(labelled) AS labelled,
    SUM(asked) AS asked, COUNT(DISTINCT cart_id) AS carts
  FROM hourly_events
  WHERE hour >= @previous_start AND hour < @end
    AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
    AND (ARRAY_LENGTH(@models) = 0 OR model_digest IN UNNEST(@models))
  GROUP BY period
),
merged AS (
  SELECT IF(hour >= @start, 'current', 'previous') AS period, bucket, SUM(n) AS n
  FROM hourly_latency
  WHERE hour >= @previous_start AND hour < @end AND stage = 'camera_to_decision'
    AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
    AND (ARRAY_LENGTH(@models) = 0 OR model_digest IN UNNEST(@models))
  GROUP BY period, bucket
),
buckets AS (
  SELECT
    period, bucket, SUM(n) OVER (PARTITION BY period ORDER BY bucket) AS seen,
    SUM(n) OVER (PARTITION BY period) AS total
  FROM merged
),
latencies AS (
  SELECT
    period, POW(2.0, (MIN(IF(seen >= 0.5 * total, bucket, NULL)) + 0.5) / 32.0) AS p50_ms,
    POW(2.0, (MIN(IF(seen >= 0.95 * total, bucket, NULL)) + 0.5) / 32.0) AS p95_ms, MAX(total) AS decisions
  FROM buckets
  GROUP BY period
)
SELECT
  p AS period, COALESCE(c.item_events, 0) AS item_events, COALESCE(c.contradicted, 0) AS contradicted,
  COALESCE(c.labelled, 0) AS labelled, COALESCE(c.asked, 0) AS asked, COALESCE(c.carts, 0) AS carts,
  l.p50_ms, l.p95_ms, COALESCE(l.decisions, 0) AS decisions
FROM UNNEST(['current', 'previous']) AS p
LEFT JOIN counted AS c ON c.period = p
LEFT JOIN latencies AS l ON l.period = p
ORDER BY period
