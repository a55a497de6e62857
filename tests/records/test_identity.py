"""What is advertised about this process."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from peerage.errors import ConfigurationError
from peerage.records.addresses import read_address
from peerage.records.identity import (
    MANIFESTS,
    find_manifest,
    guess_addresses,
    host_key,
    launch_time,
    read_identity,
)

HOST_KEY = [sys.executable, "-c", "from peerage.records.identity import host_key; print(host_key())"]
ADDRESSES = [sys.executable, "-c", "from peerage.records.identity import guess_addresses as g; print(g())"]


def separated() -> list[str]:
    """Return a command that runs another one in a new network namespace; [] if that isn't allowed."""
    unshare = shutil.which("unshare")
    for options in (["-n"], ["-r", "-n"]) if unshare else ():
        command = [str(unshare), *options]
        if subprocess.run([*command, "true"], check=False, capture_output=True).returncode == 0:
            return command
    return []


def output(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_environment_is_read_at_the_call(monkeypatch):
    """And not at import: a service may set its environment while it starts."""
    assert read_identity().instance_id is None
    for key in ("INSTANCE_ID", "SERVICE_ID", "NODE_ID", "SITE_ID"):
        monkeypatch.setenv(key, f"my {key}")
    who = read_identity()
    assert who.instance_id == "my INSTANCE_ID"
    assert who.service_id == "my SERVICE_ID"
    assert who.node_id == "my NODE_ID"
    assert who.site_id == "my SITE_ID"
    assert who.process_id == os.getpid()


def test_an_empty_variable_is_missing():
    """Compose files often pass on variables that aren't set, as empty texts."""
    names = (
        "INSTANCE_ID",
        "SERVICE_ID",
        "NODE_ID",
        "SITE_ID",
        "ASAB_HOSTNAME",
        "PEERAGE_ADDRESSES",
        "PEERAGE_MANIFEST",
    )
    empty, none = read_identity(dict.fromkeys(names, "")), read_identity({})
    assert empty == none
    assert (none.instance_id, none.service_id, none.node_id, none.site_id) == (None, None, None, None)


def test_the_host_is_the_name_of_the_machine():
    """Unless ASAB_HOSTNAME is set."""
    assert read_identity({}).host == os.uname().nodename
    assert read_identity({"ASAB_HOSTNAME": "node-7"}).host == "node-7"


def test_configured_addresses_are_normalised():
    """Spaces and repetitions don't matter, and a mapped address is the IPv4 address."""
    environ = {"PEERAGE_ADDRESSES": " 10.0.0.1, 2001:db8::1,10.0.0.1,,::ffff:10.0.0.2 "}
    assert read_identity(environ).addresses == ("10.0.0.1", "2001:db8::1", "10.0.0.2")


def test_in_a_container_only_configured_addresses_are_used():
    """The addresses of a container can be reached from its own machine only, so none is guessed."""
    assert read_identity({"container": "podman"}).addresses == ()
    assert read_identity({"container": "podman"}).containerized
    assert read_identity({"container": "podman", "PEERAGE_ADDRESSES": "10.0.0.1"}).addresses == ("10.0.0.1",)


def test_guessed_addresses_can_be_reached_from_other_machines():
    """Whatever the default routes of this machine are."""
    assert all(read_address(address).routable for address in guess_addresses())


@pytest.mark.skipif(not separated(), reason="needs the right to make a network namespace")
@pytest.mark.parametrize("route", ["true", "ip link set lo up && ip route add default dev lo"])
def test_without_a_route_to_other_machines_no_address_is_guessed(route):
    """Loopback isn't advertised, and neither is an unspecified address."""
    assert output([*separated(), "sh", "-c", f'{route}; exec "$@"', "sh", *ADDRESSES]) == "()"


@pytest.mark.parametrize(
    "bad",
    [
        "node-1",
        "127.0.0.1",
        "::1",
        "169.254.0.1",
        "fe80::1",
        "fe80::1%eth0",
        "2001:db8::1%eth0",
        "224.0.0.1",
        "0.0.0.0",
        "::",
        "::ffff:127.0.0.1",
        "10.0.0.0/8",
        "10.0.0.1:80",
    ],
)
def test_an_address_peers_cant_reach_is_refused(bad):
    """The message contains the variable and the wrong part of it."""
    with pytest.raises(ConfigurationError, match="PEERAGE_ADDRESSES") as caught:
        read_identity({"PEERAGE_ADDRESSES": f"10.0.0.1,{bad}"})
    assert repr(bad) in str(caught.value)


class TestManifest:
    def test_the_first_manifest_is_used(self, tmp_path):
        """The order is: the configured file, and then the paths."""
        paths = [str(tmp_path / name) for name in ("app.json", "root.json", "here.json")]
        assert find_manifest(None, paths=paths) is None
        for path in reversed(paths):
            Path(path).write_text(json.dumps({"version": path}))
            assert find_manifest(None, paths=paths) == {"version": path}
            assert find_manifest(path, paths=paths) == {"version": path}
        assert find_manifest(paths[2], paths=paths) == {"version": paths[2]}

    def test_the_paths_are_those_of_asab(self, elsewhere):
        """In ASAB's order; the last one is in the working directory."""
        assert MANIFESTS == ("/app/MANIFEST.json", "/MANIFEST.json", "MANIFEST.json")
        assert read_identity({}).manifest == {}
        Path("MANIFEST.json").write_text('{"version": "here"}')
        assert read_identity({}).manifest == {"version": "here"}
        (elsewhere / "mine.json").write_text('{"version": "mine", "CI_JOB_ID": "44"}')
        environ = {"PEERAGE_MANIFEST": str(elsewhere / "mine.json")}
        assert read_identity(environ).manifest == {"version": "mine", "CI_JOB_ID": "44"}

    @pytest.mark.usefixtures("elsewhere")
    def test_given_fields_replace_the_file(self):
        """Also if there are none."""
        Path("MANIFEST.json").write_text('{"version": "file"}')
        assert read_identity({}, manifest={"version": "given"}).manifest == {"version": "given"}
        assert read_identity({}, manifest={}).manifest == {}

    @pytest.mark.usefixtures("elsewhere")
    def test_a_missing_manifest_and_a_broken_one_are_different(self, caplog):
        """The log has the name of the option that names a missing file."""
        paths = ["MANIFEST.json"]
        assert find_manifest(None, paths=paths) is None
        assert find_manifest("no.json", "[general] manifest", paths) is None
        assert caplog.messages == ["[general] manifest names no.json, which is no file"]
        Path("MANIFEST.json").write_text("{")
        assert find_manifest(None, paths=paths) == {}

    @pytest.mark.usefixtures("elsewhere")
    def test_ids_that_the_environment_lacks_are_taken_from_it(self, caplog):
        """As ASAB advertises them; one that can't be an id is logged and left out."""
        Path("MANIFEST.json").write_text('{"service_id": "stock", "node_id": "", "site_id": ["x"]}')
        found = read_identity({"INSTANCE_ID": "stock-1"})
        assert (found.instance_id, found.service_id) == ("stock-1", "stock")
        assert (found.node_id, found.site_id) == (None, None)
        assert caplog.messages == ["site_id of the manifest is left out: ['x'] can't be an id"]
        assert read_identity({"SERVICE_ID": "orders"}).service_id == "orders"

    @pytest.mark.parametrize(
        "content",
        [
            b"{",
            b"\xff",
            b"[1]",
            b'"x"',
            b'{"x": NaN}',
            b'{"x": -Infinity}',
            b'{"x": "\\ud800"}',
            b"[" * 100_000,
        ],
    )
    def test_a_broken_manifest_is_logged_and_left_out(self, elsewhere, caplog, content):
        """A service must start nevertheless. A manifest that couldn't be advertised is broken as well."""
        (elsewhere / "MANIFEST.json").write_bytes(content)
        assert read_identity({}).manifest == {}
        (record,) = caplog.records
        assert "MANIFEST.json" in record.getMessage()
        assert record.levelname == "ERROR"

    def test_a_configured_manifest_that_is_missing_is_logged(self, elsewhere, caplog):
        """If there is another one, it is used."""
        Path("MANIFEST.json").write_text('{"version": "here"}')
        assert read_identity({"PEERAGE_MANIFEST": str(elsewhere / "typo.json")}).manifest == {
            "version": "here"
        }
        assert "typo.json" in caplog.text


class TestHostKey:
    def test_it_is_the_same_in_another_process_of_this_host(self):
        """The two processes reach each other by loopback."""
        assert output(HOST_KEY) == host_key()
        assert host_key()

    @pytest.mark.skipif(not separated(), reason="needs the right to make a network namespace")
    def test_it_differs_in_another_network_namespace(self):
        """The boot and the host name are the same, and the loopback interfaces aren't."""
        printed = output([*separated(), *HOST_KEY])
        assert len(printed) == len(host_key() or "")
        assert printed != host_key()

    def test_without_proc_there_is_no_key(self, tmp_path, caplog):
        """Then loopback addresses aren't called. This is logged."""
        assert host_key(tmp_path) is None
        assert "aren't called" in caplog.text


class TestLaunchTime:
    def test_it_is_when_the_process_started(self):
        """As psutil has it. Both know the time since the boot to 0.01 s, and the boot to 1 s."""
        started = datetime.fromtimestamp(psutil.Process().create_time(), UTC)
        found = launch_time(os.getpid())
        assert abs(found - started) <= timedelta(seconds=1.1)
        assert found.tzinfo is UTC
        assert read_identity({}).launch_time == found == launch_time(os.getpid())

    def test_without_proc_it_is_when_the_module_was_imported(self):
        """An unknown process number has the same effect as a missing /proc."""
        assert datetime.now(UTC) >= launch_time(-1) >= launch_time(os.getpid())
