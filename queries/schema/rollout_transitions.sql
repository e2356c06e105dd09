-- What happened to rollouts, without duplicates. Filter on at: the filter reaches the partitions through the window.
CREATE OR REPLACE VIEW rollout_transitions AS
SELECT *
FROM rollout_transitions_raw
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY `at`, rollout_id, number ORDER BY received_at) = 1;
