"""Calls that are written into a trace: when each began, its attempts, and how it ended."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from peerage.calling.options import call_options
from peerage.calling.retry import IDEMPOTENCY_KEY, Repeatable
from peerage.calling.trace import CallTrace, trace_calls
from peerage.errors import PeerageError
from peerage.testing.simulation.trace import Attempted, CallBegan, CallEnded, Event, RepeatableName

#: The header by which a server knows which call of the trace it handles.
CALL_HEADER: Final = "Simulated-Call"

_NAMES: Final[dict[Repeatable, RepeatableName]] = {
    Repeatable.ONCE: "once",
    Repeatable.IDEMPOTENT: "idempotent",
    Repeatable.SAFE: "safe",
}


@dataclass(slots=True, eq=False)
class TracedCall:
    """One call of a service by its name."""

    label: str
    """Unique in the trace."""
    process: str
    """The label of the process that calls."""
    service: str
    method: str
    """``KEY`` is a POST with an ``Idempotency-Key``."""
    deadline: float | None
    """Seconds until it must have ended; None: it has no deadline."""
    answer: str
    """The text that is the right answer."""
    began: float = 0.0
    traces: list[CallTrace] = field(default_factory=list)
    """What has become of it so far."""

    async def make(
        self, session: aiohttp.ClientSession, write: Callable[[Event], None], clock: Callable[[], float]
    ) -> None:
        """Make the call by *session*; *write* what happens, at the times of *clock*."""
        method, has_key = ("POST", True) if self.method == "KEY" else (self.method, False)
        headers = {CALL_HEADER: self.label} | ({IDEMPOTENCY_KEY: self.label} if has_key else {})
        self.began = clock()
        name = _NAMES[Repeatable.of(method, has_key=has_key)]
        deadline = None if self.deadline is None else self.began + self.deadline
        write(CallBegan(self.began, self.label, self.process, self.service, name, deadline))
        error, body = "", None if method == "GET" else b"{}"
        with trace_calls() as self.traces, call_options(deadline=self.deadline):
            try:
                url = f"http://{self.service}.service_id.asab/"
                async with session.request(method, url, headers=headers, data=body) as response:
                    text = await response.text()
                # A request that must not carry a token is answered by the service itself.
                if text not in {self.answer, self.service}:
                    error = f"status {response.status}: {text!r}"
            except (aiohttp.ClientError, PeerageError, TimeoutError, OSError) as problem:
                error = f"{type(problem).__name__}: {problem}"
        self.write_attempts(write)
        write(CallEnded(clock(), self.label, error))

    def write_attempts(self, write: Callable[[Event], None]) -> None:
        """Write the attempts so far."""
        for attempt in (each for trace in self.traces for each in trace.attempts):
            at = self.began + attempt.started
            write(Attempted(at, self.label, attempt.address, attempt.outcome or ""))
