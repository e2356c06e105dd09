"""TensorRT 10.3 to 11 and TensorRT for RTX: plans are built in a child process and run on the GPU."""
