"""Requests to a WSGI application without a server, by the rules of PEP 3333."""

import io
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator


def answer(app, path="/", authorization=None, **headers):
    """Call *app* as a server does; return the status, the headers and the body.

    The names of *headers* are those of peerage's.
    """
    environ = {"wsgi.input": io.BytesIO(), "QUERY_STRING": "", "SCRIPT_NAME": "", "PATH_INFO": path}
    environ |= {f"HTTP_PEERAGE_{name}": value for name, value in headers.items()}
    if authorization is not None:
        environ["HTTP_AUTHORIZATION"] = authorization
    setup_testing_defaults(environ)
    started = []

    def start_response(status, fields, exc_info=None):
        assert not started or exc_info
        started[:] = [status, fields]
        return lambda _: None

    body = validator(app)(environ, start_response)
    try:
        content = b"".join(body)
    finally:
        body.close()
    return *started, content
