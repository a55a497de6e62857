"""Selects the ids that can be advertised from those that a program of ASAB gives."""

from collections.abc import Mapping
from typing import Any

from peerage.errors import RecordError
from peerage.records.build import check_id, check_key
from peerage.records.text import shorten

__all__ = ["sort_out"]


def sort_out(given: Mapping[str, list[Any]]) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Return the ids of *given* that can be advertised, and for each key with other ids the reason.

    None as an id is left out without a reason.
    """
    fit: dict[str, list[Any]] = {}
    refused: dict[str, str] = {}
    for key, values in given.items():
        try:
            check_key(key)
        except RecordError as error:
            refused[key] = str(error)
            continue
        fit[key], rest, reason = _sort_out(key, values)
        if rest:
            more = f" The same is true of {shorten(rest[1:])}." if rest[1:] else ""
            refused[key] = f"{reason}{more}"
    return fit, refused


def _sort_out(key: str, values: list[Any]) -> tuple[list[Any], list[Any], str]:
    fit: list[Any] = []
    rest: list[Any] = []
    reason = ""
    for value in values:
        if value is None:
            continue
        try:
            check_id(key, value)
        except RecordError as error:
            rest.append(value)
            reason = reason or str(error)
        else:
            fit.append(value)
    return fit, rest, reason
