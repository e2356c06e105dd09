"""Stories about updates of a cart's model."""
