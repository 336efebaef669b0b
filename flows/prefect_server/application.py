"""The Prefect server of a home: Prefect's own application, with a guard at its door.

    python -m uvicorn --factory flows.prefect_server.application:create_app --host 127.0.0.1 --port 4200

A page of another site can have its own name resolved to this machine and so, as a browser sees it, speak to itself
(DNS rebinding). The server therefore answers to names of this machine only, and to its own pages only.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from flows.config.redaction import install
from flows.config.settings import Settings, find_home, load_settings
from flows.prefect_server.password import LOOPBACK, password_environment


def create_app() -> ASGIApp:
    """Return the server of the home that the environment names; it asks for the password of the home."""
    install()
    home = find_home(None)
    os.environ.update(password_environment(home, f"http://{LOOPBACK[0]}"))  # read when Prefect is imported
    from prefect.server.api.server import create_app as prefects_own

    return guarded(prefects_own(), server_names(load_settings(home)))


def server_names(settings: Settings) -> list[str]:
    """Return the names that the server answers to: those of this machine, and those that the configuration knows."""
    known = (settings.prefect.api_url, settings.web.public_url)
    return [*LOOPBACK, *(name for url in known if url and (name := urlsplit(url).hostname))]


def guarded(app: ASGIApp, names: Sequence[str]) -> ASGIApp:
    """Return an application that refuses requests for other names, and those of pages of other sites."""
    return TrustedHostMiddleware(_OwnPages(app, names), allowed_hosts=names, www_redirect=False)


class _OwnPages:
    """Refuses what pages of other sites ask for; what is no browser names no origin."""

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self._app = app
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = Headers(scope=scope).get("origin") if scope["type"] in {"http", "websocket"} else None
        if origin is None or _name_in(origin) in self._names:
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse("Pages of other sites are not answered", 403)(scope, receive, send)


def _name_in(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None
