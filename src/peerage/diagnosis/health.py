"""The state of a registry, as each backend reports it."""

from peerage.diagnosis.finding import Finding, Severity
from peerage.registry import Health


def check_health(health: Health, *, exposed: bool) -> list[Finding]:
    """Judge whether the registry can be reached and written to.

    Args:
        health: what :meth:`peerage.registry.Registry.inspect` returned.
        exposed: whether to report what *health* says although all works: where the backend has no diagnosis
            of its own.
    """
    problem = health.problem or ""
    if health.state != "connected":
        return [
            Finding(
                "registry",
                Severity.PROBLEM,
                "",
                f"The registry is out of reach. {problem}".rstrip(),
                "Fix what the other findings about the registry report. Until then, running services go on "
                "with what they know, and new services are neither advertised nor found.",
            )
        ]
    if not health.writable:
        return [
            Finding(
                "registry",
                Severity.PROBLEM,
                "",
                f"The registry can be read, but this process can't advertise in it. {problem}".rstrip(),
                "Fix that, or run this command as the user, and with the credentials, of your services.",
            )
        ]
    where = f" by {health.server}" if health.server else ""
    version = f", version {health.version}" if health.version else ""
    findings = [
        Finding(
            "registry", Severity.OK, "", f"The registry is served{where}{version}, and can be written to."
        )
    ]
    if exposed and problem:
        findings.append(Finding("registry", Severity.WARNING, "", problem, "Do as the message says."))
    return findings


def check_cache(path: str, *, age: float | None, problem: str) -> Finding:
    """Judge the disk cache, with which a service of this user starts while the registry is out of reach.

    Args:
        path: of its file; empty if it is switched off.
        age: seconds since it was saved; None if it wasn't.
        problem: why it can't be used; empty if it can.
    """
    if not path:
        what = "The disk cache is switched off: a service that starts without the registry knows no others."
        return Finding("cache", Severity.NOTE, "", what)
    if problem:
        what = f"The disk cache {path} can't be used: {problem}."
        return Finding("cache", Severity.WARNING, path, what, "Fix that, or remove the file.")
    if age is None:
        what = f"There is no disk cache in {path}: no service of this user has saved one yet."
        return Finding("cache", Severity.NOTE, path, what)
    what = f"A service of this user that starts without the registry knows what was known {age:.0f} s ago."
    return Finding("cache", Severity.OK, path, what)


def check_unread(reason: str) -> Finding:
    """Return the finding that the records couldn't be read."""
    return Finding(
        "registry",
        Severity.PROBLEM,
        "",
        f"The records couldn't be read, so they weren't examined: {reason}",
        "Run this again once the registry can be read.",
    )
