"""Stories about staged rollouts."""
