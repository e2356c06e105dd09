"""Stories about engines, backends and plans."""
