"""The HTTP API."""

from peerage.serve.api.routes import add_api

__all__ = ["add_api"]
