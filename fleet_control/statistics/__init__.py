"""Statistics of the cloud side: pure functions of numbers, each with its source."""
