"""Stories about the statistics of the cloud side."""
