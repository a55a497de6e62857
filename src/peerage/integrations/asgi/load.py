"""A middleware that tells callers with each answer how many requests are under way."""

from peerage.calling.answers import LOAD
from peerage.integrations.asgi.messages import START, App, Message, Receive, Response, Scope, Send

_NAME = LOAD.lower().encode()


def report_load(app: App) -> App:
    """Return *app* with a middleware that reports the number of requests under way, in ``Peerage-Load``.

    Callers with ``Discovery(score=peerage.balancing.reported_load)`` choose instances by it. Put it around
    all other middlewares. Each worker process of a server counts its own requests.
    """
    under_way = 0

    async def reporting(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal under_way
        if scope["type"] != "http":
            await app(scope, receive, send)
            return

        async def report(message: Message) -> None:
            if message["type"] == START:
                header = (_NAME, b"%d" % (under_way - 1))
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        def on_end() -> None:
            nonlocal under_way
            under_way -= 1

        under_way += 1
        response = Response(report, on_end=on_end)
        try:
            await app(scope, receive, response.send)
        finally:
            if not response.complete:
                on_end()

    return reporting
