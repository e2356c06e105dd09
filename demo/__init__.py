"""The simulated stores, and the command that starts everything on one machine."""
