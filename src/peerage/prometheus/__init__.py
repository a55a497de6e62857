"""Prometheus: the metrics of a Discovery, and its instances as targets. See docs/prometheus.md."""

from peerage.prometheus.exposition import collector, handler
from peerage.prometheus.targets import sort_key, target_groups

__all__ = ["collector", "handler", "sort_key", "target_groups"]
