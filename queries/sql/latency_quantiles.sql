-- Quantiles of the merged histograms, as finely as asked for. Bucket i covers (2^(i/32), 2^((i+1)/32)] ms; its
-- geometric midpoint is reported, which is at most 1.1 % off.
WITH merged AS (
  SELECT
    IF(@by_store, store_id, '') AS store_id, IF(@by_model, model_digest, '') AS model_digest, stage,
    IF(@step_s = 0, NULL, TIMESTAMP_SECONDS(DIV(UNIX_SECONDS(hour), GREATEST(@step_s, 1)) * @step_s)) AS `at`,
    bucket, SUM(n) AS n
  FROM hourly_latency
  WHERE hour >= @start AND hour < @end
    AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
    AND (ARRAY_LENGTH(@models) = 0 OR model_digest IN UNNEST(@models))
    AND (ARRAY_LENGTH(@stages) = 0 OR stage IN UNNEST(@stages))
  GROUP BY 1, 2, 3, 4, 5
),
counted AS (
  SELECT
    store_id, model_digest, stage, `at`, bucket,
    SUM(n) OVER (PARTITION BY store_id, model_digest, stage, `at` ORDER BY bucket) AS seen,
    SUM(n) OVER (PARTITION BY store_id, model_digest, stage, `at`) AS total
  FROM merged
)
SELECT
  store_id, model_digest, stage, `at`,
  POW(2.0, (MIN(IF(seen >= 0.5 * total, bucket, NULL)) + 0.5) / 32.0) AS p50_ms,
  POW(2.0, (MIN(IF(seen >= 0.95 * total, bucket, NULL)) + 0.5) / 32.0) AS p95_ms,
  POW(2.0, (MIN(IF(seen >= 0.99 * total, bucket, NULL)) + 0.5) / 32.0) AS p99_ms,
  MAX(total) AS n
FROM counted
GROUP BY store_id, model_digest, stage, `at`
ORDER BY store_id, model_digest, stage, `at`
