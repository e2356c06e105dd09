"""Outside systems behind narrow Protocols, each with a real and an in-memory implementation."""
