"""Programs with a web server that calls itself."""

from typing import Final

#: ``serve(program)`` runs an application; *program* gets it and its container, ready to be called.
SERVE: Final = """
import json
import aiohttp, aiohttp.web
load("web", "web.rest")

async def until_started(container):
    # The original shows the addresses of one line while it still binds the next.
    while len(container.Addresses or ()) < len(container.get_ports()):
        await asyncio.sleep(0.01)

def make(config, args=(), section="web"):
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=list(args), modules=[asab.web.Module])
            service = self.get_service("asab.WebService")
            self.container = asab.web.WebContainer(service, section, config=config)
    return App()

def serve(program, config=None, routes=None, args=()):
    app = make({"listen": "127.0.0.1 0"} if config is None else config, args)
    if routes is not None:
        routes(app.container.WebApp)
    return go(app, program)

def go(app, program):
    async def main():
        await until_started(app.container)
        port = app.container.Addresses[0][1]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            await program(app, session)
        app.stop()
    app.main = main
    return app.run()

async def show(response, *headers):
    text = await response.text()
    say(response.status, response.content_type, *[response.headers.get(name) for name in headers], repr(text))
"""
