"""Stories about training."""
