"""Beside the original, asab 25.15, on the same tokens in the same run: verifying them."""

import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from joserfc import jwk, jwt

from benchmarks.driver import OURS, PYTHON, THEIRS, Process, running
from benchmarks.report import Row

_BARE: Final = "cryptography"

#: Algorithms, and the tokens of a block: half a second of the slowest.
_ALGORITHMS: Final = ("ES256", "RS256")
_BLOCK: Final = 200
_BLOCKS: Final = 10


def measure() -> list[Row]:
    """Every row of this part."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file = Path(folder, "tokens.json")
        file.write_text(json.dumps({algorithm: _made(algorithm) for algorithm in _ALGORITHMS}))
        libraries = {
            library: stack.enter_context(running("tokensworker", library, str(file), python=python))
            for library, python in ((OURS, None), (THEIRS, PYTHON), (_BARE, None))
        }
        return [_compare(libraries, algorithm) for algorithm in _ALGORITHMS]


def _made(algorithm: str) -> dict[str, Any]:
    """Return a key set of one key, and tokens as an authorization server makes them, of a session each."""
    key = (
        jwk.ECKey.generate_key("P-256", {"kid": "bench"})
        if algorithm == "ES256"
        else jwk.RSAKey.generate_key(2048, {"kid": "bench"})
    )
    now = int(time.time())
    claims = {"iss": "http://auth.bench", "sub": "user", "iat": now, "exp": now + 3600}
    resources = {"*": [], "tenant": [f"orders:{verb}" for verb in ("read", "write", "remove")]}
    return {
        "keys": {"keys": [key.as_dict(private=False)]},
        "tokens": [
            jwt.encode(
                {"alg": algorithm, "kid": "bench"}, claims | {"resources": resources, "sid": number}, key
            )
            for number in range(_BLOCK * _BLOCKS)
        ],
    }


def _compare(libraries: Mapping[str, Process], algorithm: str) -> Row:
    fresh: dict[str, list[float]] = {library: [] for library in libraries}
    seen: dict[str, list[float]] = {library: [] for library in libraries}
    for block in range(_BLOCKS):
        for library, process in libraries.items():
            for times in (fresh, seen):
                times[library].append(
                    process.ask(algorithm, block * _BLOCK, (block + 1) * _BLOCK)["cpu"] / _BLOCK
                )
    first = {library: statistics.median(times) * 1e6 for library, times in fresh.items()}
    again = {library: statistics.median(times) * 1e6 for library, times in seen.items()}
    return Row(
        f"verifying a token, {algorithm}, seen for the first time / again, CPU, medians of {_BLOCKS} blocks "
        f"of {_BLOCK}, beside asab",
        "shown",
        f"{first[OURS]:.3g} / {again[OURS]:.3g} µs = {first[THEIRS] / first[OURS]:.3g} × faster",
        held=True,
        beside=f"asab: {first[THEIRS]:.3g} / {again[THEIRS]:.3g} µs; signature alone, cryptography: "
        f"{first[_BARE]:.3g} µs",
    )
