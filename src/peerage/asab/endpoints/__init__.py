"""The HTTP endpoints of ApiService."""
