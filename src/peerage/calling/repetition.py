"""What a caller says of a request that is a repetition, and what a server does with it.

If each of several layers of services repeats what failed below it, one failure at the bottom becomes many
requests. So a repetition says that it is one, and what a server calls for it isn't repeated.
"""

from contextvars import ContextVar
from typing import Final

#: The request header of a repetition; its value is 1.
REPEATED: Final = "Peerage-Repeated"

#: Whether the request that is being processed is a repetition. Set by the middleware of a server.
nested: ContextVar[bool] = ContextVar("nested", default=False)
