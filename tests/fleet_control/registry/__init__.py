"""Stories about the model registry."""
