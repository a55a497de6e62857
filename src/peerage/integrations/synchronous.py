"""What :mod:`peerage.sync` offers to programs without an event loop."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, Unpack

from peerage import discovery as asynchronous
from peerage.calling.deadline import begin, current_deadline
from peerage.errors import RegistryClosedError
from peerage.integrations.portal import Portal
from peerage.records.advert import Advert, AdvertFields
from peerage.records.instance import Instance
from peerage.registration import LAME_DUCK
from peerage.registration import Registration as AsynchronousRegistration
from peerage.timing import monotonic

if TYPE_CHECKING:
    import ssl

    import httpx

    from peerage.balancing import CallCounts
    from peerage.calling import CallOptions
    from peerage.integrations.httpx import Transport

Arguments = ParamSpec("Arguments")


def _arguments_of(
    _: Callable[Arguments, object],
) -> Callable[[Callable[..., None]], Callable[Concatenate["Discovery", Arguments], None]]:
    def same(init: Callable[..., None]) -> Callable[Concatenate["Discovery", Arguments], None]:
        return init

    return same


class Discovery:
    """:class:`peerage.Discovery` for programs without an event loop; the arguments are the same.

    It is opened at its first use, and again in a forked child. Close it, or use it in ``with``; at the end of
    the process it is closed if it is open.

    All methods raise RegistryClosedError after :meth:`close`, and RuntimeError in a thread in which an event
    loop runs: there, use :class:`peerage.Discovery`.

    Raises:
        ConfigurationError: the registry's URL can't work, or a name that no URL can contain.
        MissingExtraError: its backend needs a package that isn't installed.
    """

    @_arguments_of(asynchronous.Discovery)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        def make() -> asynchronous.Discovery:
            return asynchronous.Discovery(*args, **kwargs)

        make()  # what can't work is an error here, not at the first use
        self.portal = Portal(make)
        """Runs what is asynchronous: ``portal.run(portal.get().discover())``."""

    def __enter__(self) -> Self:
        self.portal.get()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Withdraw what was advertised and close everything, within about a second; may be called twice."""
        self.portal.close()

    # Be found

    def advertise(self, advert: Advert | None = None, /, **fields: Unpack[AdvertFields]) -> "Registration":
        """Advertise this process; see :meth:`peerage.Discovery.advertise`.

        Call it in the process that serves: neither is a record taken over by forked children, nor does it
        outlive the process.

        Raises:
            RecordError: something of it can't be advertised.
            RegistryDeniedError: the registry refuses it: access, size or path.
        """
        return Registration(self.portal, self.portal.run(self.portal.get().advertise(advert, **fields)))

    def drain(self, lame_duck: float = LAME_DUCK) -> None:
        """Drain everything that was advertised; see :meth:`peerage.Discovery.drain`.

        Args:
            lame_duck: seconds to wait between publishing that no new requests are wanted and withdrawing.
        """
        self.portal.run(self.portal.get().drain(lame_duck))

    # Find

    def ready(self, timeout: float | None = None) -> None:
        """Wait until the registry was read once; see :meth:`peerage.Discovery.ready`.

        Raises:
            NotReadyError: it wasn't within *timeout* seconds, *ready_timeout* by default.
        """
        self.portal.run(self.portal.get().ready(timeout))

    def locate(self, criteria: Mapping[str, object] | None = None, /, **ids: object) -> set[str]:
        """Return the URLs of the callable instances that match all criteria.

        >>> discovery.locate(service_id="orders")  # doctest: +SKIP
        {'http://node-1:8080', 'http://node-2:8080'}

        See :meth:`peerage.Discovery.locate`.

        Raises:
            NotReadyError: the registry wasn't read yet and isn't within *ready_timeout*.
        """
        return self.portal.run(self.portal.get().locate(criteria, **ids))

    def instances(self, criteria: Mapping[str, object] | None = None, /, **ids: object) -> list[Instance]:
        """Return all instances that match all criteria, including those that can't be called.

        Raises:
            NotReadyError: the registry wasn't read yet and isn't within *ready_timeout*.
        """
        return self.portal.run(self.portal.get().instances(criteria, **ids))

    # Call

    def client(self, *, calls: "CallOptions | None" = None, **kwargs: Any) -> "httpx.Client":
        """Return an ``httpx.Client`` that knows the hosts ``<value>.<key>.asab``; threads may share it.

        ::

            with discovery.client() as client:
                orders = client.get("http://orders.service_id.asab/v1/orders").json()

        Close it before this Discovery. For httpx2, and for TLS between services, make a client of your own
        with the transport of :mod:`peerage.integrations.httpx2`, or :meth:`transport`.

        Args:
            calls: how calls deal with failures, instead of what was given to the Discovery.
            kwargs: go to httpx. Of them ``verify``, ``http2``, ``limits`` and ``proxy`` are for other hosts.

        Raises:
            MissingExtraError: httpx isn't installed.
        """
        transport = self.transport(calls=calls)
        import httpx  # noqa: PLC0415 - an extra

        mounts = {"all://*.asab": transport, **(kwargs.pop("mounts", None) or {})}
        return httpx.Client(mounts=mounts, **kwargs)

    def transport(
        self, *, calls: "CallOptions | None" = None, ssl: "ssl.SSLContext | bool" = True
    ) -> "Transport":
        """Return the transport of :meth:`client`, for a client of your own.

        Args:
            calls: how calls deal with failures, instead of what was given to the Discovery.
            ssl: for https to services, as for :class:`peerage.integrations.httpx.Transport`.

        Raises:
            MissingExtraError: httpx isn't installed.
        """
        from peerage.integrations.httpx import Transport  # noqa: PLC0415 - needs an extra

        return Transport(self, calls=calls, ssl=ssl)

    def call_counts(self) -> "CallCounts":
        """Return counters of what happened to all calls of this process so far."""
        discovery = self.portal.get()

        async def counts() -> "CallCounts":
            return discovery.call_counts()

        return self.portal.run(counts())


class Registration:
    """A service's record in the registry until withdrawn; made by :meth:`Discovery.advertise`.

    It belongs to the process that advertised it: in a forked child every method raises RegistryClosedError.
    """

    def __init__(
        self, portal: Portal[asynchronous.Discovery], registration: AsynchronousRegistration
    ) -> None:
        self._portal = portal
        self._registration = registration
        self._pid = os.getpid()

    @property
    def name(self) -> str | None:
        """Name of the record in the registry; None while not registered, another after a lost session."""
        return self._own().name

    def update(self, advert: Advert | None = None, /, **fields: Unpack[AdvertFields]) -> None:
        """Advertise something else, in place; see :meth:`peerage.Registration.update`.

        Raises:
            RecordError: something of it can't be advertised; the record stays as it was.
            RegistryDeniedError: the record would be too large; it stays as it was.
        """
        registration = self._own()

        async def update() -> None:
            registration.update(advert, **fields)

        self._portal.run(update())

    def drain(self, lame_duck: float = LAME_DUCK) -> None:
        """Publish that no new requests are wanted, wait *lame_duck* seconds, withdraw."""
        self._portal.run(self._own().drain(lame_duck))

    def withdraw(self) -> None:
        """Remove the record for good; may be called twice."""
        self._portal.run(self._own().withdraw())

    def _own(self) -> AsynchronousRegistration:
        if self._pid != os.getpid():
            raise RegistryClosedError(
                "This was advertised before a fork, by the parent process: advertise in the child itself."
            )
        return self._registration


@contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Limit the time of everything that a block calls; see :func:`peerage.deadline`.

    ::

        with peerage.sync.deadline(2.0):
            orders = client.get("http://orders.service_id.asab/v1/orders").json()

    When it passes, the call under way is cancelled and raises DeadlineExceededError, and so does each later
    one. The block's own work isn't interrupted.

    Args:
        seconds: the time from now on; None: no deadline but the one around the block, if any.

    Raises:
        ConfigurationError: *seconds* isn't a number.
    """
    token = current_deadline.set(begin(seconds, monotonic()))
    try:
        yield
    finally:
        current_deadline.reset(token)
