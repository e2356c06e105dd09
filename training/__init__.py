"""Trains the reference detector on rendered scenes, measures it and writes what a cart loads."""
