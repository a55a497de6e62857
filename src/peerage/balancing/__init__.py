"""Pick one instance for a request; pure, synchronous, without I/O, clocks or randomness of its own."""
