"""The simulated stores: places, light, faults, shoppers, carts, and the truth about all of it."""
