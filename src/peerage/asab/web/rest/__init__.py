"""JSON in and out."""

from typing import TYPE_CHECKING, Final

from peerage.lazy import loader

if TYPE_CHECKING:
    from peerage.asab.web.rest.errors import JsonExceptionMiddleware
    from peerage.asab.web.rest.json import JSONDumper, json_response
    from peerage.asab.web.rest.schema import json_schema_handler

_HOME_OF: Final = {
    "JSONDumper": "json",
    "JsonExceptionMiddleware": "errors",
    "json_response": "json",
    "json_schema_handler": "schema",
}

__all__ = ["JSONDumper", "JsonExceptionMiddleware", "json_response", "json_schema_handler"]

if not TYPE_CHECKING:  # for a type checker every misspelled name would be valid
    __getattr__ = loader(__name__, globals(), _HOME_OF, frozenset({"json"}))


def __dir__() -> list[str]:
    return [*__all__]
