"""The middlewares as frameworks take them, and the dependencies of FastAPI."""

from typing import Annotated, assert_type

from fastapi import Depends, FastAPI
from flask import Flask
from litestar import Litestar
from litestar.middleware import DefineMiddleware
from starlette.applications import Starlette

from peerage import Discovery, sync
from peerage.auth import Principal, Verifier
from peerage.integrations import fastapi, wsgi
from peerage.integrations.asgi import (
    Gradient2,
    authorize,
    caller,
    limit_concurrency,
    propagate,
    refuse_misdirected,
    report_load,
    require,
)
from peerage.integrations.fastapi import authorized, discovery
from peerage.integrations.fastapi import caller as verified
from peerage.integrations.fastapi import require as needs


def installed(verifier: Verifier, found: Discovery) -> None:
    app = FastAPI(dependencies=[Depends(authorized(verifier)), Depends(needs("a:read"))])
    app.add_middleware(authorize, verifier=verifier, open_paths=["/health"])
    app.add_middleware(limit_concurrency, limit=Gradient2())
    app.add_middleware(propagate, only_safe=True)
    app.add_middleware(report_load)
    app.add_middleware(authorize, verifer=verifier)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    Litestar([], middleware=[DefineMiddleware(authorize, verifier=verifier)])
    report_load(refuse_misdirected(Litestar([]), found))
    report_load(authorize(Starlette(), verifier))


def depending(found: Discovery) -> FastAPI:
    limit = fastapi.limit_concurrency(Gradient2())
    chosen = [fastapi.refuse_misdirected(found), fastapi.propagate(only_safe=True), limit]
    return FastAPI(dependencies=[Depends(each) for each in chosen])


def around(flask: Flask, found: sync.Discovery) -> wsgi.Discovered:
    limited = wsgi.limit_concurrency(flask.wsgi_app, Gradient2())
    return wsgi.discovered(wsgi.authorize(limited, found, open_paths=["/health"], internal=False), found)


@require("a:read")
def read(
    who: Annotated[Principal, Depends(verified)], found: Annotated[Discovery, Depends(discovery)]
) -> str:
    assert_type(caller(), Principal)
    return f"{who} {found}"


async def called(who: Principal, found: Discovery) -> None:
    assert_type(read(who, found), str)
    assert_type(await verified(None), Principal)
