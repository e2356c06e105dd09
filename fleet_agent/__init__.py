"""One cart: cameras, scale, perception, telemetry and its spool."""
