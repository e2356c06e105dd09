"""Stories about docs."""
