"""The metrics of a Discovery, made of its counters when Prometheus asks for them.

Names follow Prometheus' "Metric and label naming": base units, and ``_total`` for what only grows. Services
are the only label that grows with the cluster, and their number is bounded.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Final, TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

import peerage
from peerage.balancing import Observer, Service
from peerage.balancing.counts import BOUNDS, Tally
from peerage.directory.index import Standing
from peerage.membership import Membership
from peerage.prometheus.families import Family, Values, counters, gauges

if TYPE_CHECKING:
    from peerage.auth.authorization import TokenCounts
    from peerage.balancing import Balancer
    from peerage.discovery import Discovery
    from peerage.prometheus.exposition import Clients

_T = TypeVar("_T")

#: Services whose instances are shown under a label of their own: four series each.
MOST_SERVICES: Final = 500

#: Services to which calls are shown under a label of their own: some thirty series each, mostly buckets.
MOST_CALLED: Final = 200

#: The upper bounds of the buckets, as the label ``le`` has them.
_BOUNDS: Final = (*map(floatToGoString, BOUNDS), "+Inf")

#: A service that was called, or several as one: the label, what is known of each, and what happened.
_Called = tuple[str, list[Service], Tally]

#: The label of the services beyond these, and of calls by other names than a ``service_id``.
OTHERS: Final = "(others)"


class MembershipCollector(Collector):
    """What is known of the cluster: the registry, records and instances."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; on any thread."""
        return _cluster(self._membership)


class DiscoveryCollector(Collector):
    """What is known of the cluster, and what happened to records, calls and tokens of this process."""

    def __init__(self, find: "Callable[[], Discovery]") -> None:
        self._find = find

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; on any thread."""
        discovery = self._find()
        yield from _cluster(discovery.membership)
        yield from _registrations(discovery)
        yield from _calls(discovery.balancer)
        yield from _tokens(discovery.token_counts())


class ClientsCollector(Collector):
    """Who follows the changes of the cluster at ``peerage serve``."""

    def __init__(self, clients: "Clients") -> None:
        self._clients = clients

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; on any thread."""
        yield gauge("peerage_serve_clients", "Clients that follow the changes.", self._clients.clients)
        yield counter(
            "peerage_serve_clients_dropped",
            "Clients that were disconnected because they were slow.",
            self._clients.dropped,
        )


class _Together(Collector):
    def __init__(self, collectors: Iterable[Collector]) -> None:
        self._collectors = collectors

    def collect(self) -> Iterator[Metric]:
        return chain.from_iterable(each.collect() for each in self._collectors)


def encode(accept: str, collectors: Iterable[Collector]) -> tuple[str, bytes]:
    """Return the content type and the text of the metrics of *collectors*.

    Args:
        accept: the header Accept, which chooses between the formats.
        collectors: registries, or single ones.
    """
    write, content_type = choose_encoder(accept)
    return content_type, write(_Together(collectors))


def gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    """Return a gauge without labels."""
    return GaugeMetricFamily(name, text, value)


def counter(name: str, text: str, value: float) -> CounterMetricFamily:
    """Return a counter without labels; ``_total`` is added to *name*."""
    return CounterMetricFamily(name, text, value)


def _cluster(membership: Membership) -> Iterator[Metric]:
    yield InfoMetricFamily("peerage_build", "The installed peerage.", {"version": peerage.__version__})
    yield from _registry(membership)
    yield from _directory(membership)


def _registry(membership: Membership) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "peerage_registry", "The registry that is followed.", {"url": membership.registry.url}
    )
    yield gauge("peerage_registry_ready", "Whether anything is known of the registry.", membership.ready)
    yield gauge(
        "peerage_registry_in_touch",
        "Whether the registry is in touch; what was known stays in use while it isn't.",
        membership.ready and membership.stale is None,
    )
    yield gauge(
        "peerage_registry_refused",
        "Whether the registry refuses to be read, which waiting doesn't change.",
        membership.refused,
    )
    yield gauge(
        "peerage_registry_age_seconds",
        "How old what is known is: 0 in touch, +Inf while nothing is known.",
        membership.age,
    )
    yield counter("peerage_registry_outages", "How often the registry came out of reach.", membership.outages)


def _directory(membership: Membership) -> Iterator[Metric]:
    directory = membership.directory
    counts = directory.count()
    yield gauge(
        "peerage_directory_records", "Records, unreadable and superseded ones included.", counts.records
    )
    yield gauge(
        "peerage_directory_malformed_records",
        "Records of which something can't be used.",
        counts.malformed,
    )
    yield gauge(
        "peerage_directory_unconfirmed_records",
        "Records that are known from the disk cache only.",
        len(directory.unconfirmed),
    )
    yield counter("peerage_directory_changes", "Changes of instances that were applied.", counts.changes)
    services = directory.count_by("service_id")
    yield gauges(
        "peerage_directory_instances",
        "Instances by their state.",
        ["state"],
        lambda: (([each.name.lower()], counts.standings.get(each, 0)) for each in Standing),
    )
    yield gauges(
        "peerage_service_instances",
        "Instances of each service by their state.",
        ["service", "state"],
        lambda: (
            ((service, each.name.lower()), sum(one.get(each, 0) for one in standings))
            for service, standings in _bounded(services, MOST_SERVICES)
            for each in Standing
        ),
    )


def _registrations(discovery: "Discovery") -> Iterator[Metric]:
    states = {"registered": 0, "pending": 0, "draining": 0}
    for registration in discovery.registrations:
        registered = "pending" if registration.name is None else "registered"
        states["draining" if registration.draining else registered] += 1
    yield gauges(
        "peerage_registrations",
        "What this process advertises; pending: the registry doesn't have it.",
        ["state"],
        lambda: (([state], count) for state, count in states.items()),
    )


def _calls(balancer: "Balancer | None") -> Iterator[Metric]:
    called = [] if balancer is None else [*_called(balancer)]
    yield counters(
        "peerage_client_attempts",
        "Requests sent to an instance, by their outcome.",
        ["service", "outcome"],
        lambda: (
            ((service, outcome), count)
            for service, _, tally in called
            for outcome, count in tally.attempts().items()
        ),
    )
    yield Family(
        "histogram",
        "peerage_client_attempt_duration_seconds",
        "Time until the head of the answer, of answered attempts.",
        ["service", "le"],
        lambda: chain.from_iterable(_durations(service, tally) for service, _, tally in called),
    )
    yield counters(
        "peerage_client_calls_given_up",
        "Calls that failed in the end, by how.",
        ["service", "ending"],
        lambda: (
            ((service, ending), count)
            for service, _, tally in called
            for ending, count in tally.given_up.items()
        ),
    )
    for name, text in _SUMS.items():
        yield counters(f"peerage_client_{name}", text, ["service"], partial(_sums, called, name))
    yield gauges(
        "peerage_client_requests_in_flight",
        "Requests whose answer isn't complete.",
        ["service"],
        lambda: (([service], sum(each.outstanding for each in known)) for service, known, _ in called),
    )
    yield gauges(
        "peerage_client_ejected_instances",
        "Instances that get no requests, because too many of them failed.",
        ["service"],
        lambda: (([service], sum(len(each.ejected) for each in known)) for service, known, _ in called),
    )
    yield gauge(
        "peerage_client_avoided_instances",
        "Instances that get no requests, because they are ejected, refuse connections or have stalled.",
        0 if balancer is None else len(balancer.avoided),
    )
    observer = Observer() if balancer is None else balancer.observer
    passed, failed = observer.probes_passed, observer.probes_failed
    yield counters(
        "peerage_client_probes",
        "Background probes.",
        ["result"],
        lambda: iter(((["passed"], passed), (["failed"], failed))),
    )


def _durations(service: str, tally: Tally) -> Iterator[Values]:
    """Yield the samples of a histogram."""
    for bound, count in zip(_BOUNDS, accumulate(tally.durations), strict=True):
        yield "_bucket", (service, bound), count
    yield "_count", (service,), tally.answered
    yield "_sum", (service,), tally.seconds


def _sums(called: Iterable[_Called], name: str) -> Iterator[tuple[Sequence[str], float]]:
    return (((service,), getattr(tally, name)) for service, _, tally in called)


#: Counters of a tally, and what they count.
_SUMS: Final = {
    "broken_off": "Answers whose body broke off.",
    "retries": "Attempts after one that may have been processed.",
    "retries_refused": "Calls that failed because the retry budget was used up.",
    "backups": "Second attempts while the first one went on, hedged requests included.",
    "backups_won": "Second attempts that were answered first.",
    "ejections": "How often an instance was ejected, because too many requests failed.",
}


def _tokens(counts: "TokenCounts | None") -> Iterator[Metric]:
    yield counter(
        "peerage_auth_tokens_accepted",
        "Tokens of callers that were accepted.",
        counts.accepted if counts else 0,
    )
    refused = sorted(counts.refused.items()) if counts else []
    yield counters(
        "peerage_auth_requests_refused",
        "Requests that were refused, by the reason.",
        ["reason"],
        lambda: (([str(reason)], count) for reason, count in refused),
    )
    succeeded, failed = (counts.fetches, counts.fetches_failed) if counts else (0, 0)
    yield counters(
        "peerage_auth_key_fetches",
        "Fetches of users' keys.",
        ["result"],
        lambda: iter(((["succeeded"], succeeded), (["failed"], failed))),
    )
    yield gauge("peerage_auth_keys", "Users' keys that are known.", counts.keys if counts else 0)


def _called(balancer: "Balancer") -> Iterator[_Called]:
    """Yield the services that were called, and what is known about each."""
    services: dict[str, list[Service]] = {}
    for (key, value), service in dict(balancer.services).items():
        if service.size or service.tally:
            # Names that no instance ever had come from outside sometimes, and in any number.
            own = key == "service_id" and (service.size or service.tally.attempts())
            services.setdefault(value if own else OTHERS, []).append(service)
    forgotten = balancer.observer.forgotten
    if forgotten:
        services.setdefault(OTHERS, [])
    for name, lists in _bounded(services, MOST_CALLED):
        known = [each for some in lists for each in some]
        tally = Tally()
        for each in known:
            tally.add(each.tally)
        if name == OTHERS:
            tally.add(forgotten)
        yield name, known, tally


def _bounded(services: Mapping[str, _T], most: int) -> Iterable[tuple[str, list[_T]]]:
    """Yield the first *most* services in the order of their names, and the others as one."""
    names = sorted(services.keys() - {OTHERS})
    for name in names[:most]:
        yield name, [services[name]]
    rest = [services[name] for name in (*names[most:], OTHERS) if name in services]
    if rest:
        yield OTHERS, rest
