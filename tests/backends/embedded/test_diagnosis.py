"""``peerage doctor`` on a folder: what is left in it, its disk, and the limits of the system."""

from dataclasses import replace

import pytest
from tests.backends.embedded.support import opened, records_in, run_folder

from peerage.backends.embedded.diagnosis import FolderFacts, check_folder
from peerage.diagnosis import Severity
from peerage.doctor import diagnose
from peerage.testing.harness import registered

#: Nothing is wrong with it.
FIT = FolderFacts(
    path="/srv/registry/run.asab",
    group=None,
    living=2,
    dead=0,
    strangers=(),
    file_system="ext4",
    free_bytes=10**10,
    free_files=10**6,
    inotify=(3, 128),
    descriptors=1024,
)

RECORD = b'{"host": "127.0.0.1", "service_id": "orders", "web": [["0.0.0.0", 80]]}'


async def test_a_folder_in_use_is_well(tmp_path):
    """It isn't changed, and living records are counted."""
    base = tmp_path / "base"
    async with opened(base) as registry:
        await registered(registry, "App", RECORD)
        found = [each for each in await registry.diagnose(None, "") if each.check == "folder"]
        assert [each.severity for each in found] == [Severity.OK]
        assert "1 record of a living process" in found[0].what
        diagnosis = await diagnose(f"embedded://{base}", probe=False)
    assert {each.check for each in diagnosis.findings if each.severity is Severity.OK} >= {"folder", "record"}


def test_who_has_access_to_a_folder_is_said():
    [finding] = check_folder(FIT)
    assert "is private to this user" in finding.what
    [finding] = check_folder(replace(FIT, group="services"))
    assert "is shared by the group services" in finding.what


async def test_what_dead_processes_and_others_left(tmp_path):
    """Files of dead processes are no problem; it looks before a reader removes them."""
    base = tmp_path / "base"
    async with opened(base) as registry:
        await registered(registry, "App", RECORD)
        (run_folder(base) / "Dead.0000000001").write_bytes(RECORD)
        (run_folder(base) / "notes.txt").write_text("?")
        findings = {each.severity: each.what for each in await registry.diagnose(None, "")}
        assert ": 1. The next reader" in findings[Severity.NOTE]
        assert "'notes.txt'" in findings[Severity.WARNING]
        assert "Dead.0000000001" in records_in(base)


async def test_a_folder_that_is_refused(tmp_path):
    base = tmp_path / "base"
    base.mkdir(mode=0o755)
    diagnosis = await diagnose(f"embedded://{base}", probe=False)
    [finding] = [each for each in diagnosis.findings if each.severity is Severity.PROBLEM]
    assert "chmod 700" in finding.what


async def test_a_folder_that_does_not_exist_yet(tmp_path):
    assert (await diagnose(f"embedded://{tmp_path}/base", probe=False)).well


@pytest.mark.parametrize(
    ("change", "check", "severity", "said"),
    [
        ({"file_system": "nfs4"}, "folder", Severity.PROBLEM, "is on nfs4"),
        ({"free_bytes": 0}, "folder", Severity.PROBLEM, "has 0.0 MB free"),
        ({"free_bytes": 20_000_000}, "folder", Severity.WARNING, "has 20.0 MB free"),
        ({"free_files": 3}, "folder", Severity.WARNING, "3 files can still be created"),
        ({"inotify": (128, 128)}, "limits", Severity.WARNING, "128 of 128 inotify instances"),
        (
            {"descriptors": 64},
            "limits",
            Severity.WARNING,
            "64 descriptors open: one for each connection and record",
        ),
        ({"strangers": tuple("abcdefg")}, "folder", Severity.WARNING, "'e' and 2 more."),
        ({"dead": 4}, "folder", Severity.NOTE, ": 4. The next reader"),
    ],
)
def test_each_fault_is_found(change, check, severity, said):
    """And only that one."""
    findings = check_folder(replace(FIT, **change))
    [finding, *rest] = sorted(findings, key=lambda each: each.severity is Severity.OK)
    assert (finding.check, finding.severity) == (check, severity)
    assert said in finding.what
    assert all(each.severity is Severity.OK for each in rest)


def test_a_fit_folder():
    assert [each.severity for each in check_folder(replace(FIT, free_files=None, inotify=None))] == [
        Severity.OK
    ]
