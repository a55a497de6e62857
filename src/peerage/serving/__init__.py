"""What a server decides about a request before its handler and after it; free of any web framework.

:mod:`peerage.web` carries it out for aiohttp, :mod:`peerage.integrations` for other frameworks.
"""
