"""Authorization for WSGI applications: a request needs a valid token unless its path is open."""

from collections.abc import Collection, Iterable
from typing import Any

from peerage.auth.principal import Principal, denials
from peerage.auth.verifier import Verifier
from peerage.discovery import Discovery as AsynchronousDiscovery
from peerage.errors import AccessDeniedError, TokenRefusedError
from peerage.integrations.synchronous import Discovery
from peerage.integrations.wsgi.messages import App, Environ, Response, StartResponse, header, refuse
from peerage.serving.authorization import (
    authenticate,
    caller,
    current_caller,
    read_token,
    refusal_of,
    require,
    require_superuser,
)
from peerage.serving.refusal import Refusal

__all__ = ["authorize", "caller", "require", "require_superuser"]


def authorize(app: App, discovery: Discovery, *, open_paths: Collection[str] = (), **of_verifier: Any) -> App:
    """Return *app* with a middleware that lets only requests with a valid token reach it.

    ::

        app.wsgi_app = discovered(authorize(app.wsgi_app, discovery, open_paths=["/health"]), discovery)

    It answers as :func:`peerage.web.authorize` does: 401 without a valid token, 403 where the view raises
    AccessDeniedError, 503 while there are no keys to verify with. :func:`caller` returns the caller, and
    ``environ["peerage.principal"]`` is the same object.

    Args:
        app: the application.
        discovery: fetches the keys, in its own thread.
        open_paths: paths that need no token, exactly as they are in ``environ["PATH_INFO"]``.
        of_verifier: arguments of ``discovery.auth.verifier(…)``, such as ``public_keys_url``. What can't work
            is an error at the first request.
    """
    verifying = _Verifying(discovery, of_verifier)
    is_open = frozenset(open_paths)

    def take_over(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "") in is_open:
            return app(environ, start_response)
        authorization = header(environ, "Authorization")
        principal = verifying.authenticate([] if authorization is None else [authorization])
        if isinstance(principal, Refusal):
            return refuse(start_response, principal)
        environ["peerage.principal"] = principal
        before = current_caller.get(), denials.get()

        def end() -> None:
            current_caller.set(before[0])
            denials.set(before[1])

        current_caller.set(principal)
        denials.set([])
        response = Response(start_response, refusal_of=verifying.refusal_of, on_end=end)
        try:
            response.begin(app, environ)
        except (TokenRefusedError, AccessDeniedError) as error:
            response.refuse(verifying.refused(error))
        except BaseException:
            response.end()
            raise
        return response

    return take_over


class _Verifying:
    """Verifies tokens in the loop of a Discovery, for threads without one."""

    def __init__(self, discovery: Discovery, of_verifier: dict[str, Any]) -> None:
        self._portal = discovery.portal
        self._of_verifier = of_verifier
        # A forked child opens another Discovery, and needs a verifier of that.
        self._made: tuple[AsynchronousDiscovery, Verifier] | None = None

    def authenticate(self, authorization: list[str]) -> Principal | Refusal:
        """Return the caller of a request with these values of ``Authorization``, or its refusal."""
        opened = self._portal.get()
        token, _ = read_token(authorization)

        async def verify() -> Principal | Refusal:
            return await authenticate(self._verifier(opened), token)

        return self._portal.run(verify())

    def refusal_of(self, error: BaseException | None) -> Refusal | None:
        """Return the answer in place of the 500 that a framework made of *error*, or of one that it hides."""
        noted = [error] if isinstance(error, TokenRefusedError | AccessDeniedError) else denials.get()
        return self.refused(noted[-1]) if noted else None

    def refused(self, error: TokenRefusedError | AccessDeniedError) -> Refusal:
        """Return the refusal of a request whose view raised *error*."""
        opened = self._portal.get()

        async def refusal() -> Refusal:
            return refusal_of(self._verifier(opened), error)

        return self._portal.run(refusal())

    def _verifier(self, opened: AsynchronousDiscovery) -> Verifier:
        """Return that of this process; in the loop."""
        if self._made is None or self._made[0] is not opened:
            self._made = (opened, opened.auth.verifier(**self._of_verifier))
        return self._made[1]
