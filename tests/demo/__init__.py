"""Stories about demo."""
