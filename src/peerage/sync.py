"""The library for programs without an event loop: Flask, Django, and scripts."""
