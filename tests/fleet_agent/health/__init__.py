"""Stories about the health of a cart."""
