"""Judges what was found out about a registry, its records and this process; pure and synchronous.

What was found out is a few plain objects, the facts. Each ``check_…`` function makes findings of them: what
is wrong, and what to do about it. What shows findings, such as the command ``peerage
doctor``, escapes their texts for its medium, because records may contain anything.
"""

from peerage.diagnosis.finding import Diagnosable, Diagnosis, Finding, LookUp, Severity

__all__ = ["Diagnosable", "Diagnosis", "Finding", "LookUp", "Severity"]
