-- What happened to rollouts, one row per entry of their logs; duplicates possible, read the view rollout_transitions.
CREATE TABLE IF NOT EXISTS rollout_transitions_raw (
  position INT64 NOT NULL OPTIONS(description='place among the entries of all rollouts, as written'),
  rollout_id STRING NOT NULL OPTIONS(description='rollout'),
  number INT64 NOT NULL OPTIONS(description='counts up from 1 per rollout'),
  `at` TIMESTAMP NOT NULL OPTIONS(description='when, server clock'),
  kind STRING NOT NULL OPTIONS(description='created, started, stage_started, cart_reported, verdict_given, and so on'),
  stage STRING OPTIONS(description='name of the stage it is about'),
  cart_id STRING OPTIONS(description='the cart, where it is about one'),
  gate STRING OPTIONS(description='the gate of a verdict'),
  verdict STRING OPTIONS(description='pass, fail, inconclusive, no_data or shadow'),
  actor STRING NOT NULL OPTIONS(description='person, service, or controller'),
  reason STRING OPTIONS(description='why, in the words of the actor'),
  model_digest STRING NOT NULL OPTIONS(description='the model that is rolled out'),
  stores ARRAY<STRING> OPTIONS(description='stores of the rollout, where charts mark the entry'),
  payload STRING OPTIONS(description='the entry as JSON; null where it is too long'),
  received_at TIMESTAMP NOT NULL OPTIONS(description='when it was sent here, server clock')
)
PARTITION BY DATE(`at`)
CLUSTER BY rollout_id
OPTIONS(
  require_partition_filter = TRUE,
  description = 'What happened to rollouts, one row per entry of their logs; duplicates possible, read the view rollout_transitions.'
);
