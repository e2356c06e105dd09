"""`cartwright up`: starts every component, watches over it, and stops it again."""
