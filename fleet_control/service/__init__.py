"""`cartwright control`: the controller of rollouts and its API, put together."""
