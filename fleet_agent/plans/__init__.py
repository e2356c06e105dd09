"""Plans of TensorRT: their key, their cache, and the child process that builds them."""
