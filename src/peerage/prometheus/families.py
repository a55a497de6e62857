"""Metrics whose samples have labels; each sample is made when it is written.

Thousands of samples at the same time would make Python's garbage collector go through all objects again and
again. With 10,000 instances that takes a fifth of a second, in which the event loop doesn't run.
"""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import Metric, Sample

#: The end of a sample's name, the values of its labels, and its own.
Values = tuple[str, Sequence[str], float]


class Family(Metric):
    """A metric with labels.

    Args:
        kind: ``gauge``, ``counter`` or ``histogram``.
        name: without ``_total``.
        text: what is shown.
        labels: the names of the labels; a sample may leave out the last ones.
        values: yields the samples; called each time that they are iterated over.
    """

    def __init__(
        self, kind: str, name: str, text: str, labels: Sequence[str], values: Callable[[], Iterator[Values]]
    ) -> None:
        super().__init__(name, text, kind)
        self.labels = labels
        self.samples = _Samples(name, labels, values)  # type: ignore[assignment] # iterated over, as a list is


class _Samples:
    def __init__(self, name: str, labels: Sequence[str], values: Callable[[], Iterator[Values]]) -> None:
        self._name = name
        self._labels = labels
        self._values = values

    def __iter__(self) -> Iterator[Sample]:
        for ending, labels, value in self._values():
            yield Sample(f"{self._name}{ending}", dict(zip(self._labels, labels, strict=False)), value)


def gauges(
    name: str, text: str, labels: Sequence[str], values: Callable[[], Iterator[tuple[Sequence[str], float]]]
) -> Family:
    """Return a gauge with labels; *values* yields those of the labels and its own."""
    return Family("gauge", name, text, labels, lambda: (("", *each) for each in values()))


def counters(
    name: str, text: str, labels: Sequence[str], values: Callable[[], Iterator[tuple[Sequence[str], float]]]
) -> Family:
    """Return a counter with labels, as :func:`gauges` does; ``_total`` is added to *name*."""
    return Family("counter", name, text, labels, lambda: (("_total", *each) for each in values()))
