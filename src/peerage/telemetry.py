"""Spans and metrics of calls by OpenTelemetry: ``Discovery(telemetry=OpenTelemetry())``, extra ``otel``.

They follow the stable conventions for HTTP clients (semantic conventions 1.23): one span of the kind CLIENT
for each attempt and none around them, since each attempt is a request that is sent. ``server.address`` is the
logical name that the program called, ``network.peer.address`` the instance that was asked. The context of
each span travels in the headers of its own attempt (``traceparent``), so what two instances do for the same
request has different parents.
"""

import math
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from peerage.errors import MissingExtraError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import Span, TracerProvider

__all__ = ["AttemptTelemetry", "CallTelemetry", "OpenTelemetry", "RegistryTelemetry", "Telemetry"]

#: The boundaries that the conventions advise, in seconds.
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

#: The methods that a span may be named after; all others are ``_OTHER``, so that their number is bounded.
_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)

#: Answers from this status on are errors for a client.
_LEAST_ERROR: Final = 400


class AttemptTelemetry(Protocol):
    """One attempt under way; one of the methods is called once."""

    def answered(self, status: int) -> None:
        """The head of a response with *status* arrived."""

    def failed(self, error: BaseException) -> None:
        """It ended with *error*."""


class CallTelemetry(Protocol):
    """One call."""

    def attempt(self, address: str, port: int, headers: MutableMapping[str, str]) -> AttemptTelemetry:
        """An attempt begins.

        Args:
            address: the literal address of the instance.
            port: its port.
            headers: those of the request, to which some may be added.
        """


class Telemetry(Protocol):
    """What :class:`peerage.Discovery` reports its calls to."""

    def call(self, method: str, url: str, host: str, port: int | None) -> CallTelemetry:
        """A call begins, in the task of the caller.

        Args:
            method: of the request.
            url: the complete one, with the logical name, without credentials.
            host: the logical name.
            port: the one of the URL.
        """


@runtime_checkable
class RegistryTelemetry(Protocol):
    """What a :class:`Telemetry` may have as well, to be told about the registry."""

    def registry(self, url: str, age: Callable[[], float]) -> Callable[[], object]:
        """A Discovery was opened; what is returned is called when it is closed.

        Args:
            url: of its registry, without credentials.
            age: returns its :attr:`~peerage.Discovery.age`.
        """


class OpenTelemetry:
    """Reports each attempt as a span, and its duration in the histogram ``http.client.request.duration``.

    The gauge ``peerage.registry.age`` shows for how many seconds the registry has been out of reach, 0 while
    it is in touch.

    Args:
        tracer_provider: by default the global one.
        meter_provider: likewise.

    Raises:
        MissingExtraError: ``opentelemetry-api`` isn't installed.
    """

    def __init__(
        self,
        *,
        tracer_provider: "TracerProvider | None" = None,
        meter_provider: "MeterProvider | None" = None,
    ) -> None:
        try:
            from opentelemetry import context, metrics, propagate, trace  # noqa: PLC0415 - the extra may be missing
        except ImportError as error:
            raise MissingExtraError(
                "OpenTelemetry needs the package opentelemetry-api: pip install 'peerage[otel]'."
            ) from error
        self.tracer = trace.get_tracer("peerage", tracer_provider=tracer_provider)
        self._ages: dict[object, tuple[str, Callable[[], float]]] = {}
        self._observation = metrics.Observation
        meter = metrics.get_meter("peerage", meter_provider=meter_provider)
        meter.create_observable_gauge(
            "peerage.registry.age",
            [self._observe],
            unit="s",
            description="Seconds since what is known of the registry was certain.",
        )
        self.duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self.current_context = context.get_current
        self.inject = propagate.inject
        self.trace = trace

    def registry(self, url: str, age: Callable[[], float]) -> Callable[[], object]:
        """See :meth:`RegistryTelemetry.registry`."""
        token = object()
        self._ages[token] = url, age
        return partial(self._ages.pop, token, None)

    def _observe(self, _: "CallbackOptions") -> "Iterator[Observation]":
        # Several Discoveries of one registry, as tests have them, are one point: the oldest counts.
        ages: dict[str, float] = {}
        # A copy, because this runs on a thread of the exporter.
        for url, age in tuple(self._ages.values()):
            seconds = age()
            if seconds < math.inf:
                ages[url] = max(seconds, ages.get(url, 0.0))
        for url, seconds in ages.items():
            yield self._observation(seconds, {"peerage.registry.url": url})

    def call(self, method: str, url: str, host: str, port: int | None) -> "_Call":
        """See :meth:`Telemetry.call`."""
        attributes: dict[str, Any] = {"server.address": host, "url.full": url}
        if port is not None:
            attributes["server.port"] = port
        if method in _METHODS:
            attributes["http.request.method"] = method
        else:
            attributes["http.request.method"] = "_OTHER"
            attributes["http.request.method_original"] = method
        return _Call(self, attributes, self.current_context())


class _Call:
    """One call, and the context of the caller, which is the parent of all its attempts."""

    def __init__(self, owner: OpenTelemetry, attributes: Mapping[str, Any], parent: "Context") -> None:
        self._owner = owner
        self._attributes = attributes
        self._parent = parent
        self._sent = 0

    def attempt(self, address: str, port: int, headers: MutableMapping[str, str]) -> "_Attempt":
        owner, trace = self._owner, self._owner.trace
        attributes = {**self._attributes, "network.peer.address": address, "network.peer.port": port}
        if self._sent:
            attributes["http.request.resend_count"] = self._sent
        self._sent += 1
        method = attributes["http.request.method"]
        span = owner.tracer.start_span(
            "HTTP" if method == "_OTHER" else method,
            context=self._parent,
            kind=trace.SpanKind.CLIENT,
            attributes=attributes,
        )
        context = trace.set_span_in_context(span, self._parent)
        owner.inject(headers, context=context)
        return _Attempt(owner, span, context, self._attributes)


class _Attempt:
    """One attempt under way."""

    def __init__(
        self, owner: OpenTelemetry, span: "Span", context: "Context", attributes: Mapping[str, Any]
    ) -> None:
        self._owner = owner
        self._span = span
        self._context = context
        # Only those with few values, because a histogram is kept for each combination.
        self._attributes = {
            key: attributes[key]
            for key in ("http.request.method", "server.address", "server.port")
            if key in attributes
        }
        self._started = perf_counter()

    def answered(self, status: int) -> None:
        self._end({"http.response.status_code": status}, str(status) if status >= _LEAST_ERROR else None)

    def failed(self, error: BaseException) -> None:
        kind = type(error)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        self._end({}, f"{module}{kind.__qualname__}")

    def _end(self, attributes: dict[str, Any], error: str | None) -> None:
        span = self._span
        if error is not None:
            attributes["error.type"] = error
            span.set_status(self._owner.trace.StatusCode.ERROR)
        span.set_attributes(attributes)
        span.end()
        # The context of the span lets an exemplar point to it.
        self._owner.duration.record(
            perf_counter() - self._started, {**self._attributes, **attributes}, context=self._context
        )
