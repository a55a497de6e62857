"""The names of kazoo that the backend relies on although kazoo doesn't document them.

``make test-all`` runs this with the newest kazoo, to see in time what the next version takes away.
"""

import ast
import inspect
from importlib.metadata import version
from pathlib import Path

import pytest
from kazoo import exceptions
from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol import connection as protocol
from kazoo.protocol.connection import ConnectionHandler

from peerage.backends import zookeeper

#: Attributes of kazoo's objects that are read or set, each private or undocumented.
ATTRIBUTES = {
    KazooClient: (
        "_conn_retry",
        "_connection",
        "_live",
        "_pending",
        "_queue",
        "_session_id",
        "_state",
        "_stopped",
        "last_zxid",
    ),
    ConnectionHandler: (
        "_connection_routine",
        "_read_sock",
        "_socket",
        "_write_sock",
        "client",
        "connection_stopped",
        "handler",
        "sasl_options",
    ),
    SequentialThreadingHandler: ("_running", "callback_queue", "completion_queue", "timeout_exception"),
}

#: Methods that are called or replaced, with the parameters that they have.
METHODS = {
    KazooClient: {
        "_call": "request, async_object",
        "_reset": "",
        "_session_callback": "state",
        "start_async": "",
    },
    ConnectionHandler: {
        "_connect": "host, hostip, port",
        "_connect_attempt": "host, hostip, port, retry",
        "_expand_client_hosts": "",
        "_read": "length, timeout",
        "_read_header": "timeout",
        "_read_response": "header, buffer, offset",
        "_read_socket": "read_timeout",
        "_read_watch_event": "buffer, offset",
        "_send_request": "read_timeout, connect_timeout",
        "_socket_error_handling": "",
        "_write": "msg, timeout",
        "close": "",
        "start": "",
        "zk_loop": "",
    },
    SequentialThreadingHandler: {
        "create_connection": "*args, **kwargs",
        "event_object": "",
        "select": "*args, **kwargs",
        "sleep_func": "",
        "spawn": "func, *args, **kwargs",
        "start": "",
        "stop": "",
    },
}


@pytest.fixture
def objects():
    """One object of each class, as a client makes them; nothing is connected."""
    client = KazooClient(handler=SequentialThreadingHandler())
    return {
        KazooClient: client,
        ConnectionHandler: client._connection,
        SequentialThreadingHandler: client.handler,
    }


def advice(name: str) -> str:
    return (
        f"kazoo {version('kazoo')} has no {name} as the ZooKeeper backend relies on it: change the backend "
        "before the range of kazoo's versions in pyproject.toml includes this one."
    )


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in ATTRIBUTES for name in ATTRIBUTES[kind]])
def test_an_attribute_is_there(objects, kind, name):
    if not hasattr(objects[kind], name):
        pytest.fail(advice(f"{kind.__name__}.{name}"), pytrace=False)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in METHODS for name in METHODS[kind]])
def test_a_method_has_its_parameters(objects, kind, name):
    method = getattr(objects[kind], name, None)
    if method is None or not callable(method):
        pytest.fail(advice(f"{kind.__name__}.{name}()"), pytrace=False)
    if name == "sleep_func":
        return  # time.sleep, which has no signature
    found = ", ".join(str(each).split("=")[0] for each in inspect.signature(method).parameters.values())
    if found != METHODS[kind][name]:
        pytest.fail(advice(f"{kind.__name__}.{name}({METHODS[kind][name]})"), pytrace=False)


@pytest.mark.parametrize(
    "name",
    [
        "AuthFailedError",
        "ConnectionClosedError",
        "ConnectionDropped",
        "KazooException",
        "SessionClosedRequireSaslError",
        "SessionExpiredError",
        "SystemZookeeperError",
        "ThrottledOpError",
    ],
)
def test_an_exception_is_there(name):
    if not hasattr(exceptions, name):
        pytest.fail(advice(f"kazoo.exceptions.{name}"), pytrace=False)


def test_the_protocol_has_its_names():
    """The number of authentication requests, answers that can be changed, and the table of errors."""
    for there, name in (
        (hasattr(protocol, "AUTH_XID"), "kazoo.protocol.connection.AUTH_XID"),
        (protocol.ReplyHeader._fields == ("xid", "zxid", "err"), "ReplyHeader(xid, zxid, err)"),
        (exceptions.EXCEPTIONS.get(-101) is exceptions.NoNodeError, "kazoo.exceptions.EXCEPTIONS"),
    ):
        if not there:
            pytest.fail(advice(name), pytrace=False)


def test_no_private_name_is_missing_from_these_lists(objects):
    """Every private name in the backend that one of kazoo's objects has stands above."""
    used = {
        node.attr
        for file in Path(zookeeper.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
    }
    listed = {name for kind in objects for name in (*ATTRIBUTES[kind], *METHODS[kind])}
    assert {name for name in used for each in objects.values() if hasattr(each, name)} <= listed
