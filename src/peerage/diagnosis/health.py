"""The state of a registry, as each backend reports it."""

from peerage.diagnosis.finding import Finding, Severity
from peerage.registry import Health


def check_health(health: Health, *, exposed: bool) -> list[Finding]:
    """Judge whether the registry can be reached and written to.

    Args:
        health: what :meth:`peerage.registry.Registry.inspect` returned.
        exposed: whether to report what *health* says although all works: where the backend has no diagnosis
            of
            its own.
    """
    problem = health.problem or ""
    if health.state != "connected":
        return [
            Finding(
                "registry",
                Severity.PROBLEM,
                "",
                f"The registry is out of reach. {problem}".rstrip(),
                "Mend what the other findings about the registry say. Running services go on with what "
                "they know; nothing new is found, and nothing new is advertised.",
            )
        ]
    if not health.writable:
        return [
            Finding(
                "registry",
                Severity.PROBLEM,
                "",
                f"The registry can be read, and this process can't advertise in it. {problem}".rstrip(),
                "Mend it, or run this with the user and the credentials of your services.",
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


def check_unread(reason: str) -> Finding:
    """Return the finding that the records couldn't be read."""
    return Finding(
        "registry",
        Severity.PROBLEM,
        "",
        f"The records couldn't be read, so they weren't examined: {reason}",
        "Run this again once the registry can be read.",
    )
