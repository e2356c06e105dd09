"""From rows in the warehouse to verdicts: closed blocks, gates that count them, words for people."""
