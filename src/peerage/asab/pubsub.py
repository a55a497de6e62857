"""Messages within an application."""

import asyncio
import inspect
import logging
import weakref
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from peerage.asab.application import Application

log = logging.getLogger(__name__)

Callback = Callable[..., Any]
_Reference = Callable[[], Callback | None]
_F = TypeVar("_F", bound=Callback)
_Message = tuple[str, tuple[Any, ...], dict[str, Any]]

#: The attribute in which the decorator stores the message types; the name is ASAB's.
_TYPES = "asab_pubsub_subscribe_to_message_types"


class PubSub:
    """Delivers each message of the application to the callbacks that are subscribed to its type.

    A bound method is held weakly, so its subscription ends with its object. A function is held as long as it
    is subscribed. If a callback fails, that is logged, and the other callbacks still get the message.
    """

    def __init__(self, app: "Application") -> None:
        self.Loop = app.Loop
        self._references: dict[str, list[_Reference]] = {}
        self._deliveries: set[asyncio.Task[None]] = set()

    def subscribe(self, message_type: str, callback: Callback) -> None:
        """Have *callback*, a function or a coroutine function, called with the type and the arguments."""
        if message_type == "Application.housekeeping!":
            log.warning(
                "%r is published here with --startup-housekeeping only: subscribe to Application.tick/3600! "
                "and look at the time",
                message_type,
            )
        self._references.setdefault(message_type, []).append(_reference(callback))

    def subscribe_all(self, obj: object) -> None:
        """Subscribe all methods of *obj* that are decorated with :class:`subscribe`."""
        for name in dir(obj):
            member = getattr(obj, name)
            for message_type in getattr(member, _TYPES, None) or ():
                self.subscribe(message_type, member)

    def unsubscribe(self, message_type: str, callback: Callback) -> None:
        """End a subscription; if there is none, that is logged."""
        references = self._references.get(message_type, [])
        for reference in references:
            if reference() == callback:
                references.remove(reference)
                return
        log.warning("%r isn't subscribed to %r, so it can't be unsubscribed", callback, message_type)

    def publish(self, message_type: str, *args: Any, asynchronously: bool = False, **kwargs: Any) -> None:
        """Call the callbacks that are subscribed to *message_type*, in the order of subscription.

        The type is their first argument. *asynchronously* calls them later, from the event loop.
        A callback that one of them subscribes is called as well: an object made on ``Application.run!`` may
        need that message.
        """
        for callback in self._callbacks(message_type):
            if asynchronously:
                self.Loop.call_soon(partial(self._deliver, callback, message_type, args, kwargs))
            else:
                self._deliver(callback, message_type, args, kwargs)

    def publish_threadsafe(self, message_type: str, *args: Any, **kwargs: Any) -> None:
        """Publish from another thread."""
        self.Loop.call_soon_threadsafe(partial(self.publish, message_type, *args, **kwargs))

    async def message(self, message_type: str) -> _Message:
        """Wait for one message and return ``(message_type, args, kwargs)``."""
        return await Subscriber(self, message_type).message()

    def _callbacks(self, message_type: str) -> Iterator[Callback]:
        references = self._references.get(message_type, [])
        taken: dict[int, _Reference] = {}  # by id(); kept alive, so that no new one has the same
        while left := [each for each in references if id(each) not in taken]:
            for reference in left:
                taken[id(reference)] = reference
                if reference not in references:
                    continue  # an earlier callback has unsubscribed it
                callback = reference()
                if callback is None:
                    references.remove(reference)
                else:
                    yield callback
        if not references:
            self._references.pop(message_type, None)

    def _deliver(
        self, callback: Callback, message_type: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        try:
            result = callback(message_type, *args, **kwargs)
        except Exception:
            log.exception("A callback of %r failed: %r", message_type, callback)
            return
        if inspect.iscoroutine(result):
            delivery = self._finish(result, message_type, callback)
            task = self.Loop.create_task(delivery, name=f"asab.PubSub.{message_type}")
            self._deliveries.add(task)
            task.add_done_callback(self._deliveries.discard)

    async def _finish(self, result: Coroutine[Any, Any, Any], message_type: str, callback: Callback) -> None:
        try:
            await result
        except Exception:
            log.exception("A callback of %r failed: %r", message_type, callback)


class subscribe:  # noqa: N801 - used as a decorator
    """Marks a method for :meth:`PubSub.subscribe_all`; may be used several times on one."""

    def __init__(self, message_type: str) -> None:
        self.message_type = message_type

    def __call__(self, f: _F) -> _F:
        """Store the message type in an attribute of *f*."""
        setattr(f, _TYPES, [*(getattr(f, _TYPES, None) or ()), self.message_type])
        return f


class Subscriber:
    """A queue of the messages that it is subscribed to.

    ::

        async for message_type, args, kwargs in asab.Subscriber(app.PubSub, "Application.tick!"):
            ...

    Args:
        pubsub: subscribe there; None: call :meth:`subscribe` later.
        message_types: the types to subscribe to.
    """

    def __init__(self, pubsub: PubSub | None = None, *message_types: str) -> None:
        self._messages: asyncio.Queue[_Message] = asyncio.Queue()
        if pubsub is not None:
            for message_type in message_types:
                self.subscribe(pubsub, message_type)

    def subscribe(self, pubsub: PubSub, message_type: str) -> None:
        """Subscribe to another type of message as well."""
        pubsub.subscribe(message_type, self)

    def __call__(self, message_type: str, *args: Any, **kwargs: Any) -> None:
        """Put a message into the queue; PubSub calls this."""
        self._messages.put_nowait((message_type, args, kwargs))

    async def message(self) -> _Message:
        """Wait for the next message and return ``(message_type, args, kwargs)``."""
        return await self._messages.get()

    def __aiter__(self) -> Self:
        return self

    __anext__ = message


def _reference(callback: Callback) -> _Reference:
    if isinstance(callback, Subscriber):
        return weakref.ref(callback)
    if inspect.ismethod(callback):
        return weakref.WeakMethod(callback)
    return lambda: callback
