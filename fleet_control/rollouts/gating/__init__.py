"""From rows of the warehouse through closed blocks to verdicts."""
