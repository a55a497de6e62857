"""A cluster in one process and in virtual time, and the check of what happened in it."""
