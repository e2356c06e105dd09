"""`cartwright demo rollout good|bad`: a rollout that passes by itself, and one that stops itself."""
