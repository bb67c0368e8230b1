"""The Llama family on a CPU, by kernels of our own."""
