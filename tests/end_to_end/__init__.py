"""Stories about end_to_end."""
