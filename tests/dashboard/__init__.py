"""Stories about dashboard."""
