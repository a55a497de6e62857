"""Verifies tokens, by one library or by neither: ``python -m benchmarks.tokensworker LIBRARY FILE``.

Each line of its input is JSON, ``[algorithm, first, last]``: it verifies those tokens of the file and answers
how long that took.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.driver import OURS, THEIRS

Verify = Callable[[str], Awaitable[Any]]


def _ours(keys: dict[str, Any]) -> Verify:
    from peerage.auth import FetchedKeys, Verifier  # noqa: PLC0415 - one library has it

    async def fetch() -> bytes:
        return json.dumps(keys).encode()

    return Verifier([FetchedKeys("bench", fetch)]).verify


def _theirs(app: Any, keys: dict[str, Any]) -> Verify:
    """Return what its AuthService has a token of the Authorization header verified by."""
    from asab.web.auth.providers.id_token import IdTokenAuthProvider  # noqa: PLC0415 - likewise
    from asab.web.auth.providers.key_providers import StaticPublicKeyProvider  # noqa: PLC0415
    from jwcrypto.jwk import JWKSet  # noqa: PLC0415

    public = StaticPublicKeyProvider(app, public_key=JWKSet.from_json(json.dumps(keys)))
    verify: Verify = IdTokenAuthProvider(app, [public])._build_authorization
    return verify


def _bare(keys: dict[str, Any]) -> Verify:
    """Return the limit: the signature, by the library that all use."""
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils  # noqa: PLC0415 - likewise
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from joserfc.jwk import KeySet  # noqa: PLC0415
    from joserfc.util import urlsafe_b64decode  # noqa: PLC0415

    public: Any = KeySet.import_key_set(keys).keys[0].public_key  # type: ignore[arg-type]

    async def verify(token: str) -> None:
        signed, _, last = token.rpartition(".")
        signature = urlsafe_b64decode(last.encode())
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, signed.encode(), padding.PKCS1v15(), SHA256())
            return
        half = len(signature) // 2
        numbers = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
        public.verify(utils.encode_dss_signature(*numbers), signed.encode(), ec.ECDSA(SHA256()))

    return verify


async def _work(verify: Verify, tokens: list[str]) -> dict[str, float]:
    cpu = time.process_time()
    for token in tokens:
        await verify(token)
    return {"cpu": time.process_time() - cpu}


def main(library: str, file: str) -> None:
    """Carry out the commands."""
    documents = json.loads(Path(file).read_text())
    verifies: dict[str, Verify] = {}
    if library == THEIRS:
        import asab  # noqa: PLC0415 - for that library

        app = asab.Application(args=[])
        loop = app.Loop
        verifies.update((algorithm, _theirs(app, each["keys"])) for algorithm, each in documents.items())
    else:
        loop = asyncio.new_event_loop()
        make: Final = _ours if library == OURS else _bare
        verifies.update((algorithm, make(each["keys"])) for algorithm, each in documents.items())
    for line in sys.stdin:
        algorithm, first, last = json.loads(line)
        work = _work(verifies[algorithm], documents[algorithm]["tokens"][first:last])
        sys.stdout.write(json.dumps(loop.run_until_complete(work)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
