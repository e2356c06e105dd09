-- Steps of updates tell since version 0.2 for which rollout they are taken.
ALTER TABLE updates_raw
  ADD COLUMN IF NOT EXISTS rollout_id STRING,
  ADD COLUMN IF NOT EXISTS attempt INT64,
  ADD COLUMN IF NOT EXISTS step INT64
