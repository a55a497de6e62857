"""The service of authorization.py with FastAPI, under uvicorn or any other ASGI server."""

from typing import Annotated

from fastapi import Depends, FastAPI

from peerage import Discovery
from peerage.auth import Principal
from peerage.integrations.asgi import discovered
from peerage.integrations.fastapi import authorized, caller, noauth, require

discovery = Discovery()
verifier = discovery.auth.verifier("http://seacat-auth.service_id.asab/.well-known/jwks.json")

# Every operation that isn't marked otherwise needs a valid token.
app = FastAPI(dependencies=[Depends(authorized(verifier))])
notes = []


@app.get("/v1/notes")
def get_notes(who: Annotated[Principal, Depends(caller)]):
    return {"notes": notes, "for": who.subject}


@app.put("/v1/notes/{note}", dependencies=[Depends(require("note:write"))])
def put_note(note: str):
    notes.append(note)
    return {"notes": notes}


@app.get("/health")
@noauth
def get_health():
    return "alive"


app = discovered(app, discovery)
