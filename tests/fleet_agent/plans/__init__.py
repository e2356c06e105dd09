"""Stories about plans."""
