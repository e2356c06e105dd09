"""How a model goes live on a cart: signature, plan, parity with the reference, and two slots."""
