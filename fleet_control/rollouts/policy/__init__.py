"""What is due in a rollout: pure functions of its state, of what is known of its carts, and of the time."""
