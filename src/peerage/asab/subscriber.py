"""A queue of messages that a coroutine waits for."""

import asyncio
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from peerage.asab.pubsub import PubSub

__all__ = ["Subscriber"]

Message = tuple[str, tuple[Any, ...], dict[str, Any]]


class Subscriber:
    """A queue of the messages that it is subscribed to.

    ::

        async for message_type, args, kwargs in asab.Subscriber(app.PubSub, "Application.tick!"):
            ...

    Args:
        pubsub: subscribe there; None: call :meth:`subscribe` later.
        message_types: the types to subscribe to.
    """

    def __init__(self, pubsub: "PubSub | None" = None, *message_types: str) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        if pubsub is not None:
            for message_type in message_types:
                self.subscribe(pubsub, message_type)

    def subscribe(self, pubsub: "PubSub", message_type: str) -> None:
        """Subscribe to another type of message as well."""
        pubsub.subscribe(message_type, self)

    def __call__(self, message_type: str, *args: Any, **kwargs: Any) -> None:
        """Put a message into the queue; PubSub calls this."""
        self._messages.put_nowait((message_type, args, kwargs))

    async def message(self) -> Message:
        """Wait for the next message and return ``(message_type, args, kwargs)``."""
        return await self._messages.get()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        return await self.message()
