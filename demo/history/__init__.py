"""The past of the simulated stores: drawn from statistics, written through the normal write path."""
