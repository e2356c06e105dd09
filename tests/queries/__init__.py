"""Stories about queries."""
