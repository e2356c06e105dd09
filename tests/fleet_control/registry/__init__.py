"""Stories about the model registry, and carts that fetch from it."""
