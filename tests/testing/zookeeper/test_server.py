"""A server as a child process: it starts, dies, and comes back with its data."""

import os
import socket
import subprocess
import sys
import time

import pytest

from peerage.testing.zookeeper import ZooKeeperServer
from peerage.testing.zookeeper.server import free_port


def test_it_keeps_port_and_data_over_a_kill_and_a_restart(tmp_path, raw_client):
    """All data is there again; killing twice is no error."""
    with ZooKeeperServer(tmp_path) as server:
        address = server.address
        assert server.running
        assert "Mode: standalone" in server.ask("srvr")
        with raw_client(address) as client:
            assert client.create("/kept", b"data") == 0
            server.kill()
            assert not server.running
            assert server.ask("srvr") == ""
            assert client.hear() == b""
        server.start()
        with raw_client(address) as client:
            assert client.exists("/kept")
            assert client.create("/kept too") == 0
        server.kill()
        server.start()
        assert server.address == address
        with raw_client(address) as client:
            assert client.exists("/kept")
            assert client.exists("/kept too")
        server.kill()
        server.kill()
        assert not server.running


def test_a_suspended_server_answers_nothing(tmp_path):
    """It accepts connections, continues afterwards, and can be killed meanwhile."""
    with ZooKeeperServer(tmp_path) as server:
        server.suspend()
        assert server.running
        host, _, port = server.address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=0.2) as connection:
            connection.sendall(b"srvr")
            with pytest.raises(TimeoutError):
                connection.recv(1)
            server.resume()
            connection.settimeout(20)
            assert connection.recv(9) == b"Zookeeper"
        server.suspend()
        server.kill()
        assert not server.running


def test_a_port_that_was_taken_meanwhile_is_replaced(tmp_path):
    """Only if the server has chosen the port."""
    server = ZooKeeperServer(tmp_path)
    with socket.create_server(("127.0.0.1", server.port)):
        taken = server.port
        with server:
            assert server.port != taken


def test_a_given_port_that_is_taken_is_an_error_with_the_log(tmp_path):
    """The log says why."""
    port = free_port()
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(RuntimeError, match=f"127.0.0.1:{port}[^$]*BindException"),
    ):
        ZooKeeperServer(tmp_path, port=port).start()


def test_options_of_the_configuration_and_of_java(tmp_path, raw_client):
    """The shortest session, and a property that the server reports."""
    with ZooKeeperServer(
        tmp_path, options={"tickTime": "100", "minSessionTimeout": "1234"}, jvm=["-Dpeerage.test=yes"]
    ) as server:
        with raw_client(server.address, timeout=1) as client:
            assert client.timeout == 1234
            assert client.end() == 0
        assert "tickTime=100" in server.ask("conf")
        assert "-Dpeerage.test=yes" in _command(server._process.pid)


def test_missing_java_or_zookeeper_is_an_error(tmp_path, monkeypatch):
    """The message says what to do."""
    monkeypatch.setenv("ZOOKEEPER_HOME", str(tmp_path))
    with pytest.raises(RuntimeError, match="ZOOKEEPER_HOME"):
        ZooKeeperServer(tmp_path / "server").start()
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="default-jre-headless"):
        ZooKeeperServer(tmp_path / "server").start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux notifies a child of the death of its parent")
def test_it_ends_with_the_process_that_started_it(tmp_path):
    """However that process ends."""
    program = (
        "import os, pathlib, sys; from peerage.testing.zookeeper import ZooKeeperServer; "
        "server = ZooKeeperServer(pathlib.Path(sys.argv[1])); server.start(); "
        "print(server._process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    dead = subprocess.run(
        [sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, check=False, text=True
    )
    deadline = time.monotonic() + 10
    while "zoo.cfg" in _command(int(dead.stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_ports_are_outside_of_the_kernels_range():
    """Otherwise a client of a stopped server could be connected to itself."""
    assert {20_000 <= free_port() < 32_000 for _ in range(50)} == {True}


def test_no_library_is_needed():
    """It needs the standard library only: neither pytest nor kazoo nor aiohttp is loaded."""
    program = (
        "import sys; "
        "from peerage.testing.zookeeper import Ensemble, Proxy, ZooKeeperHarness, ZooKeeperServer; "
        "sys.exit(sorted({'pytest', 'kazoo', 'aiohttp'} & sys.modules.keys()) or None)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def _command(pid):
    """The command of a process; empty if there is none, or a dead one."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:  # noqa: PTH123 - not a file of ours
            return os.fsdecode(stream.read())
    except (FileNotFoundError, ProcessLookupError):
        return ""
