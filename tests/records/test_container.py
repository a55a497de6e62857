"""Whether a process runs in a container."""

import pytest

from peerage.records.identity import in_container

OVERLAY = "631 575 0:58 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/l,upperdir=/u\n"
DISK = "27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
OTHER = "99 27 0:60 / /var/lib/overlay rw - overlay overlay rw\n98 27 0:5 / /proc rw - proc proc rw\n"


@pytest.fixture
def machine(tmp_path):
    """The files of a machine without containers."""
    for path, text in {"proc/1/cgroup": "0::/init.scope\n", "proc/self/mountinfo": DISK + OTHER}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_a_machine_is_no_container(machine, tmp_path):
    """A machine without /proc isn't one either."""
    assert not in_container({}, 42, machine)
    assert not in_container({"container": ""}, 42, tmp_path / "nothing")


def test_the_variable_container_is_a_sign(machine):
    """systemd-nspawn, podman and LXC set it."""
    assert in_container({"container": "podman"}, 42, machine)


def test_being_the_first_process_is_a_sign(machine):
    """This is ASAB's rule: a service is never the first process of a machine."""
    assert in_container({}, 1, machine)


@pytest.mark.parametrize("marker", [".dockerenv", "run/.containerenv"])
def test_the_files_of_docker_and_podman_are_a_sign(machine, marker):
    (machine / marker).parent.mkdir(exist_ok=True)
    (machine / marker).touch()
    assert in_container({}, 42, machine)


@pytest.mark.parametrize(
    "groups", ["12:pids:/docker/0123\n", "1:name=systemd:/kubepods/besteffort/pod1\n", "4:cpu:/lxc/web\n"]
)
def test_control_groups_of_version_1_are_a_sign(machine, groups):
    (machine / "proc/1/cgroup").write_text(groups)
    assert in_container({}, 42, machine)


def test_an_overlay_as_root_is_a_sign(machine):
    """This is ASAB's rule, and the only sign in a pod of containerd with control groups of version 2."""
    (machine / "proc/self/mountinfo").write_text(OTHER + OVERLAY)
    assert in_container({}, 42, machine)


def test_mounts_that_cant_be_read_dont_matter(machine):
    """Lines in an unknown format are ignored."""
    (machine / "proc/self/mountinfo").write_bytes(b"\xff\n - overlay\n1 2 3 4 / - \n")
    assert not in_container({}, 42, machine)
