"""Choosing the instance for a request; pure and synchronous: I/O, clock and randomness stay outside."""

from peerage.balancing.balancer import Balancer
from peerage.balancing.budget import RetryBudget
from peerage.balancing.counts import CallCounts, Observer
from peerage.balancing.ejection import Ejection
from peerage.balancing.locality import NOWHERE, Place
from peerage.balancing.outcome import Outcome
from peerage.balancing.scores import Score, least_outstanding, peak_ewma, reported_load
from peerage.balancing.service import Service
from peerage.balancing.stats import Stats
from peerage.balancing.table import Pick, Probe

__all__ = [
    "NOWHERE",
    "Balancer",
    "CallCounts",
    "Ejection",
    "Observer",
    "Outcome",
    "Pick",
    "Place",
    "Probe",
    "RetryBudget",
    "Score",
    "Service",
    "Stats",
    "least_outstanding",
    "peak_ewma",
    "reported_load",
]
