"""What :mod:`peerage.integrations.httpx` and :mod:`peerage.integrations.httpx2` have in common.

httpx2 continues httpx, and its classes have the same methods. So everything here is written for the classes
of httpx, and gets those of either package in a :class:`~peerage.integrations.transports.library.Library`.
"""
