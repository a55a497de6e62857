"""JSON in and out."""

from peerage.asab.web.rest import json
from peerage.asab.web.rest.errors import JsonExceptionMiddleware
from peerage.asab.web.rest.json import JSONDumper, json_response
from peerage.asab.web.rest.schema import json_schema_handler

__all__ = ["JSONDumper", "JsonExceptionMiddleware", "json", "json_response", "json_schema_handler"]
