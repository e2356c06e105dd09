"""Stories about the control process as a whole."""
