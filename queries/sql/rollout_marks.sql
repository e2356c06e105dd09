-- What happened to rollouts, for time charts: each entry once.
SELECT `at`, rollout_id, number, kind, stage, gate, verdict, model_digest, actor, reason, stores
FROM rollout_transitions_raw
WHERE `at` >= @start AND `at` < @end
  AND (
    kind IN (
      'started', 'stage_started', 'stage_passed', 'stage_held', 'paused', 'resumed', 'rollback_started', 'aborted',
      'finished'
    )
    OR (kind = 'verdict_given' AND verdict = 'fail')
  )
  AND (
    ARRAY_LENGTH(@stores) = 0
    OR EXISTS (SELECT 1 FROM UNNEST(stores) AS store_id WHERE store_id IN UNNEST(@stores))
  )
QUALIFY ROW_NUMBER() OVER (PARTITION BY rollout_id, number ORDER BY received_at) = 1
ORDER BY `at`, rollout_id, number
