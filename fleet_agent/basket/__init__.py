"""What lies in the cart, and how cameras and weight decide what has moved. Pure, but for one small file."""
