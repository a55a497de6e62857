"""``peerage doctor``: what is wrong with the registry and the records in it, and what to do about it."""

import sys
from collections.abc import Iterator
from itertools import groupby

from peerage.cli.run import CommandError, Exit
from peerage.cli.text import clean, shorten
from peerage.diagnosis import Diagnosis, Finding, Severity
from peerage.doctor import diagnose
from peerage.records.text import as_json

#: Findings of one kind that are shown; with --json all are.
_SHOWN = 10

#: Characters of a finding that are shown.
_LONGEST = 600

#: Columns of the severity, of the check, and of both.
_WIDTH = 9
_WIDTH_OF_CHECK = 13
_INDENT = _WIDTH + _WIDTH_OF_CHECK


async def doctor(
    url: str | None,
    option: str | None,
    *,
    probe: bool,
    timeout: float,  # noqa: ASYNC109 - an option of the command, handed on
    as_object: bool,
) -> int:
    """Examine everything, and show what was found.

    Args:
        url: of the registry, as the argument of the command.
        option: likewise, as its option ``--registry``.
        probe: whether to ask each instance.
        timeout: seconds within which the registry must answer.
        as_object: whether to write one JSON object.
    """
    if url is not None and option is not None:
        raise CommandError("The registry is named twice: give its URL once.", Exit.USAGE)
    diagnosis = await diagnose(url or option, probe=probe, timeout=timeout)
    if as_object:
        _write_json(diagnosis)
    else:
        sys.stdout.writelines(f"{line}\n" for line in _lines(diagnosis))
    return Exit.OK if diagnosis.well else Exit.FAILED


def _write_json(diagnosis: Diagnosis) -> None:
    # One finding a line can be read and searched.
    entry = diagnosis.entry()
    findings = ",\n    ".join(map(as_json, entry.pop("findings")))
    sys.stdout.write(f'{as_json(entry)[:-1]}, "findings": [\n    {findings}\n]}}\n')


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    for (severity, check, todo), alike in groupby(
        diagnosis.findings, key=lambda finding: (finding.severity, finding.check, finding.todo)
    ):
        yield from _group(severity, check, todo, list(alike))
    yield ""
    yield f"{clean(diagnosis.url)}: {_summary(diagnosis)}."


def _group(severity: Severity, check: str, todo: str, findings: list[Finding]) -> Iterator[str]:
    """Yield the lines of findings about which the same is to be done."""
    for number, finding in enumerate(findings[:_SHOWN]):
        head = f"{severity.value:{_WIDTH}}{check:{_WIDTH_OF_CHECK}}" if number == 0 else " " * _INDENT
        yield f"{head}{shorten(finding.what, _LONGEST)}"
    if len(findings) > _SHOWN:
        yield f"{' ' * _INDENT}and {len(findings) - _SHOWN} more of this kind: --json shows them all."
    if todo:
        yield f"{' ' * _INDENT}To do: {clean(todo)}"


def _summary(diagnosis: Diagnosis) -> str:
    if diagnosis.well:
        return "all is well"
    counts = ((diagnosis.count(each), each.value) for each in (Severity.PROBLEM, Severity.WARNING))
    return ", ".join(f"{count} {word}{'s' * (count != 1)}" for count, word in counts if count)
