"""Stories about fleet_control."""
