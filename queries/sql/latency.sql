-- Latency histograms merged per store, model and stage, from the hourly rollups.
SELECT store_id, model_digest, stage, bucket, SUM(n) AS n
FROM hourly_latency
WHERE hour >= @start AND hour < @end
  AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
  AND (ARRAY_LENGTH(@models) = 0 OR model_digest IN UNNEST(@models))
GROUP BY store_id, model_digest, stage, bucket
ORDER BY store_id, model_digest, stage, bucket
