"""Stories about the control API."""
