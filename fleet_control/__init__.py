"""The cloud side: carts' messages into the warehouse, rollups, and (later) rollouts and health."""
