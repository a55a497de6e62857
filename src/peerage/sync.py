"""The library for programs without an event loop: Flask, Django, and scripts.

::

    with Discovery(service_id="shop") as discovery:
        print(discovery.locate(service_id="orders"))

What is asynchronous runs in one background thread. It begins at the first use and ends with
:meth:`Discovery.close`, at the latest with the process.

Threads may share a Discovery. A forked child may go on using the one of its parent: at its first use it opens
the registry again, with connections of its own. What the parent advertises stays the parent's: the child
advertises nothing until it does so itself. gevent and eventlet aren't supported.
"""

from peerage.integrations.synchronous import Discovery, Registration, deadline

__all__ = ["Discovery", "Registration", "deadline"]
