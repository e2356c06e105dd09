"""`cartwright rollouts`: rollouts for people without a browser, through the control API."""
