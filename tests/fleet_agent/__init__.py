"""Stories about fleet_agent."""
