"""Live carts: real agents with the real model, fed by rendered cameras and simulated scales."""
