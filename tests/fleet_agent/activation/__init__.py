"""Stories about activation."""
