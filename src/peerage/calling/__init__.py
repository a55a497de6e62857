"""What is decided about one call: pure and synchronous; no HTTP library, I/O, clock or randomness."""
