"""A server program whose behaviour is set by commands: lines of JSON, each of which it answers.

``["behave", mode, seconds, …]``: how requests are answered from now on, each after one of these times;
``["count"]``: how many arrived, by method. Its arguments are the address that it binds, 127.0.0.1 by default,
and a file to which it adds a line when it carries out a PUT: path, body, and whether it is a retry.
"""

import asyncio
import json
import os
import random
import socket
import sys
from collections import Counter

mode, seconds = "200", [0.0]
requests: Counter[str] = Counter()
journal = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT) if any(sys.argv[2:]) else None
filling: list[socket.socket] = []


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while mode not in {"close", "full"}:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split(" ", 2)
            length = next(
                (int(line[15:]) for line in head.splitlines() if line.lower()[:15] == "content-length:"), 0
            )
            body = (await reader.readexactly(length)).decode()
            requests[method] += 1
            await asyncio.sleep(random.choice(seconds))
            if mode in {"close", "drop"}:
                break
            if mode == "reset":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
                await writer.drain()
                abort = writer.get_extra_info("socket")
                abort.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                writer.transport.abort()
                return
            if method == "PUT" and journal is not None:
                is_retry = "peerage-retry: 1" in head.lower()
                os.write(journal, f"{path} {body} {is_retry}\n".encode())
            content = b"" if method == "HEAD" else b"ok"
            status = "200" if mode == "full" else mode
            writer.write(f"HTTP/1.1 {status} Status\r\nContent-Length: 2\r\n\r\n".encode() + content)
            await writer.drain()
    except (OSError, EOFError):
        pass
    finally:
        writer.close()


def fill(listening: socket.socket) -> list[socket.socket]:
    """Accept no more connections, and fill the queue of the kernel, which leaves further ones unanswered."""
    asyncio.get_running_loop().remove_reader(listening.fileno())
    listening.listen(0)
    clients = []
    for _ in range(4):
        clients.append(socket.socket())
        clients[-1].settimeout(0)
        clients[-1].connect_ex(listening.getsockname())
    return clients


def answer(value: object) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


async def main() -> None:
    global mode, seconds
    listening = socket.create_server((sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1", 0), backlog=1000)
    await asyncio.start_server(serve, sock=listening)
    answer(listening.getsockname()[1])
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, *arguments = json.loads(line)
        if command == "behave":
            mode, *seconds = arguments
            if mode == "full":
                filling.extend(fill(listening))
        answer(dict(requests))


asyncio.run(main())
