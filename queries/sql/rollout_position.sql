-- How far the log of rollouts is in the warehouse.
SELECT MAX(position) AS position
FROM rollout_transitions_raw
WHERE `at` >= @since
