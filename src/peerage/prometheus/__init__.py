"""Prometheus: the instances of a directory as its targets."""

from peerage.prometheus.targets import target_groups

__all__ = ["target_groups"]
