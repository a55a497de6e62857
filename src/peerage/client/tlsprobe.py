"""Whether a port speaks TLS."""

import asyncio
import ssl
from typing import Final

#: Seconds that the peer has.
_SECONDS: Final = 2.0


async def speaks_tls(address: str, port: int) -> bool:
    """Tell whether the peer at *address* and *port* answers a TLS handshake; False if that isn't certain.

    Its certificate isn't verified, because nothing is sent to it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(address, port, ssl=context)
    except OSError:
        return False
    writer.transport.abort()
    return True
