-- One stage's merged histograms over time, from the hourly rollups; steps of whole hours.
SELECT TIMESTAMP_SECONDS(DIV(UNIX_SECONDS(hour), @step_s) * @step_s) AS `at`, bucket, SUM(n) AS n
FROM hourly_latency
WHERE hour >= @start AND hour < @end AND stage = @stage
  AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
  AND (ARRAY_LENGTH(@models) = 0 OR model_digest IN UNNEST(@models))
GROUP BY `at`, bucket
ORDER BY `at`, bucket
