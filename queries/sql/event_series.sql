-- Item events over time from the hourly rollups; steps of whole hours.
SELECT
  store_id,
  TIMESTAMP_SECONDS(DIV(UNIX_SECONDS(hour), @step_s) * @step_s) AS `at`,
  SUM(item_events) AS item_events, SUM(contradicted) AS contradicted, SUM(labelled) AS labelled, SUM(asked) AS asked,
  SUM(posterior_sum) AS posterior_sum
FROM hourly_events
WHERE hour >= @start AND hour < @end
  AND (ARRAY_LENGTH(@stores) = 0 OR store_id IN UNNEST(@stores))
  AND (ARRAY_LENGTH(@models) = 0 OR model_digest IN UNNEST(@models))
GROUP BY store_id, `at`
ORDER BY store_id, `at`
