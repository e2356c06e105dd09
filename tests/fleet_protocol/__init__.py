"""Stories about fleet_protocol."""
