"""Whether the servers of a registry can be reached, serve, and belong together; pure."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from peerage.backends.zookeeper.advice import advise
from peerage.backends.zookeeper.diagnosis.limits import check_limits, numbers
from peerage.backends.zookeeper.diagnosis.words import Asked, Stage
from peerage.backends.zookeeper.location import Location
from peerage.diagnosis import Finding, Severity

_OK, _NOTE, _WARNING, _PROBLEM = Severity.OK, Severity.NOTE, Severity.WARNING, Severity.PROBLEM

#: The oldest version that has all requests that peerage uses.
_OLDEST: Final = (3, 6)

_VERSION: Final = re.compile(r"Zookeeper version: ([0-9]{1,9}(?:\.[0-9]{1,9}){0,3})(?![0-9])")
_MODE: Final = re.compile(r"^Mode: (\S+)$", re.MULTILINE)

#: The modes of servers, and what a server of each is.
_MODES: Final = {
    "leader": "the leader",
    "follower": "a follower",
    "observer": "an observer",
    "standalone": "a single server",
}

_WHITELIST: Final = "4lw.commands.whitelist=srvr,ruok,mntr,conf,cons,envi"


def check_servers(asked: Sequence[Asked], location: Location) -> list[Finding]:
    """Judge each server, and then all of them together."""
    findings = [finding for each in asked for finding in _check_server(each, location)]
    return [*findings, *_check_ensemble([each for each in asked if each.stage is Stage.SERVES], asked)]


def version_of(asked: Asked) -> str | None:
    """Return the version that a server says it has."""
    found = _VERSION.match(asked.words.get("srvr", ""))
    return found and found[1]


def mode_of(asked: Asked) -> str:
    """Return ``leader``, ``follower``, ``observer``, ``standalone``, ``read-only``, or an empty text."""
    found = _MODE.search(asked.words.get("srvr", ""))
    return found[1] if found else ""


# One server


def _check_server(asked: Asked, location: Location) -> Iterator[Finding]:
    if asked.stage is Stage.SERVES:
        yield from _check_serving(asked)
    elif asked.stage is Stage.HUSHED:
        yield Finding(
            "server",
            _NOTE,
            asked.server,
            f"{asked.server} is ZooKeeper, but says nothing about its state: no four-letter word is enabled.",
            f"Add {_WHITELIST} to its configuration, and restart it.",
        )
    else:
        what, todo = _complaint(asked, location)
        yield Finding("server", _PROBLEM, asked.server, f"{asked.server} {what}", todo)


def _complaint(asked: Asked, location: Location) -> tuple[str, str]:
    """Return what is wrong with a server that doesn't serve, and what to do."""
    if asked.other:
        return _OTHER_KIND[location.tls is not None]
    if asked.stage is Stage.SHOOK_HANDS:
        what, todo = advise(asked.reason, location)
        return f"can't be used over TLS. {what}.", f"{todo[0].upper()}{todo[1:]}."
    what, todo = _COMPLAINTS[asked.stage]
    return f"{what} ({asked.reason})." if asked.reason else f"{what}.", todo


#: By whether the URL asks for TLS, the complaint that a server speaks otherwise.
_OTHER_KIND: Final = {
    False: (
        "speaks TLS, and the URL of the registry says zookeeper://.",
        "Write zookeeper+tls://, or the server's clientPort instead of its secureClientPort.",
    ),
    True: (
        "speaks without TLS, and the URL of the registry says zookeeper+tls://.",
        "Write the server's secureClientPort instead of its clientPort, or zookeeper://.",
    ),
}

_COMPLAINTS: Final = {
    Stage.LOOKED_UP: (
        "has no address here",
        "Correct the name in the URL, or let DNS or /etc/hosts resolve it.",
    ),
    Stage.CONNECTED: (
        "accepts no connection",
        "Start ZooKeeper there, open the port in the firewall, or take the server out of the URL.",
    ),
    Stage.SILENT: (
        "accepts connections, but doesn't answer",
        (
            "Look at the process: it may be stopped (SIGSTOP), collecting garbage, or its disk full. If it "
            "isn't ZooKeeper, correct the port in the URL."
        ),
    ),
    Stage.LOOKING: (
        "runs, but serves no requests: it has no quorum, or is still starting",
        (
            "Start the other servers of the ensemble; more than half of them must run and reach each "
            "other. Its log says which ones it doesn't reach."
        ),
    ),
    Stage.STRANGE: (
        "doesn't answer as ZooKeeper does",
        (
            "Correct the port in the URL of the registry. If it is the right one, this host may have as "
            "many connections as maxClientCnxns of the server allows (60 by default)."
        ),
    ),
}


def _check_serving(asked: Asked) -> Iterator[Finding]:
    version, mode = version_of(asked), mode_of(asked)
    measured = numbers(asked.words.get("mntr", ""))
    if version is not None and tuple(map(int, version.split(".")[:2])) < _OLDEST:
        yield Finding(
            "server",
            _WARNING,
            asked.server,
            f"{asked.server} is ZooKeeper {version}. peerage is tested with 3.6 and newer; on an older one "
            "it reads all records again after each change.",
            "Update the servers.",
        )
    if mode == "read-only":
        yield Finding(
            "server",
            _PROBLEM,
            asked.server,
            f"{asked.server} is read-only: it has lost touch with more than half of its ensemble.",
            "Start the other servers, or repair the network between. Services go on with what they know.",
        )
    else:
        yield Finding("server", _OK, asked.server, _praise(asked.server, version, mode, measured))
    if "ruok" in asked.words and asked.words["ruok"] != "imok":
        yield Finding(
            "server",
            _WARNING,
            asked.server,
            f"{asked.server} doesn't answer 'imok' to 'ruok'.",
            "Read its log.",
        )
    if not measured:
        yield Finding(
            "limits",
            _NOTE,
            asked.server,
            f"{asked.server} doesn't say how near its limits it is: the four-letter word 'mntr' isn't "
            "enabled, or wasn't answered in time.",
            f"If it isn't, add {_WHITELIST} to its configuration, and restart it.",
        )
    yield from check_limits(asked.server, measured, asked.words)


def _praise(server: str, version: str | None, mode: str, found: dict[str, float]) -> str:
    release = version or "of an unknown version"
    what = f"{server} is {_MODES.get(mode, f'in the mode {mode!a}')}, ZooKeeper {release}"
    if not found:
        return f"{what}."
    return (
        f"{what}; connections: {found.get('zk_num_alive_connections', 0):.0f}, "
        f"requests waiting: {found.get('zk_outstanding_requests', 0):.0f}, "
        f"latency: {found.get('zk_avg_latency', 0):g} ms on average, "
        f"nodes: {found.get('zk_znode_count', 0):.0f}, watches: {found.get('zk_watch_count', 0):.0f}."
    )


# All servers


def _check_ensemble(serving: Sequence[Asked], all_asked: Sequence[Asked]) -> Iterator[Finding]:
    modes = [mode_of(each) for each in serving]
    if not serving:
        return
    if modes.count("leader") > 1 or (modes.count("standalone") and len(all_asked) > 1):
        listed = ", ".join(f"{each.server} {mode}" for each, mode in zip(serving, modes, strict=True))
        yield Finding(
            "quorum",
            _PROBLEM,
            "",
            f"The servers in the URL aren't one ensemble ({listed}), so services see different records.",
            "Name the servers of one ensemble in the URL, or configure them as one (server.1=…, server.2=…).",
        )
        return
    if modes == ["standalone"]:
        yield Finding(
            "quorum", _NOTE, "", "There is one server. While it is down, nothing new is found or advertised.",
            "For production, run three servers: see docs/zookeeper.md.",
        )  # fmt: skip
        return
    yield from _check_size(serving, all_asked, modes)
    versions = {version for each in serving if (version := version_of(each)) is not None}
    if len(versions) > 1:
        yield Finding(
            "quorum",
            _NOTE,
            "",
            f"The servers have different versions: {', '.join(sorted(versions))}.",
            "If no update is under way, finish the last one.",
        )


def _check_size(
    serving: Sequence[Asked], all_asked: Sequence[Asked], modes: Sequence[str]
) -> Iterator[Finding]:
    """Judge how many servers may still fail."""
    measured = [numbers(each.words.get("mntr", "")) for each in serving]
    size = max((int(each.get("zk_quorum_size", 0)) for each in measured), default=0)
    synced = max(
        (int(each["zk_synced_followers"]) for each in measured if "zk_synced_followers" in each), default=None
    )
    if size and synced is not None and synced + 1 < size:
        spare = synced + 1 - (size // 2 + 1)
        rest = "the next one that fails stops it" if spare <= 0 else f"{spare} more may fail"
        yield Finding(
            "quorum",
            _WARNING,
            "",
            f"{synced + 1} of {size} servers of the ensemble are in sync: {rest}.",
            "Start the others, and read their logs if they don't join.",
        )
    elif size and synced is not None and len(serving) == len(all_asked):
        # The leader notices only after a while that a server doesn't answer.
        yield Finding("quorum", _OK, "", f"All {size} servers of the ensemble are in sync.")
    if size > len(all_asked):
        named = "1 of them" if len(all_asked) == 1 else f"{len(all_asked)} of them"
        yield Finding(
            "quorum",
            _WARNING,
            "",
            f"The ensemble has {size} servers, and the URL names {named}: services can't use the others.",
            "Name all servers in the URL of the registry.",
        )
    if size and size % 2 == 0:
        yield Finding(
            "quorum",
            _NOTE,
            "",
            f"The ensemble has {size} voting servers. It survives no more failures than with {size - 1}.",
            "Run an odd number of servers.",
        )
    if len(serving) == len(all_asked) and "leader" not in modes and size <= len(all_asked) and size:
        yield Finding(
            "quorum", _NOTE, "", "No server in the URL says that it leads: an election may be under way.",
            "Run this again.",
        )  # fmt: skip
