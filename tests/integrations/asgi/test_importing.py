"""What importing the middlewares loads."""

import subprocess
import sys

HEAVY = {
    "aiohttp",
    "fastapi",
    "httpx",
    "joserfc",
    "kazoo",
    "litestar",
    "peerage.auth",
    "starlette",
    "uvicorn",
}


def loaded_by(statement):
    """Return the modules that a fresh interpreter has loaded after *statement*."""
    program = f"{statement}; import sys; print(*sys.modules)"
    return {
        *subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        ).stdout.split()
    }


def test_the_middlewares_need_no_framework():
    assert not loaded_by("from peerage.integrations.asgi import propagate, refuse_misdirected") & HEAVY


def test_authorization_is_loaded_on_first_use():
    loaded = loaded_by("from peerage.integrations.asgi import authorize, caller, noauth, require")
    assert loaded & HEAVY == {"joserfc", "peerage.auth"}
