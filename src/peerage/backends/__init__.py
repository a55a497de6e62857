"""Implementations of the port, each found through its entry point; nothing imports one."""
