"""The application: pages, JSON, static files, and the headers that keep all of it on this machine."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web import api
from web.dependencies import Record
from web.editing import forms
from web.files.shown import Shown
from web.pages import details, downloads, frame, lists, overview, search, trends, viewer
from web.templating import page, render

# The style is part of each page, a request less before there is something to see; it is known by its hash.
_STYLE = b64encode(sha256(render("style.css").encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; script-src 'self'; style-src 'sha256-{_STYLE}';"
    " img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def make_app(record: Record, *, names: Sequence[str] = ("*",)) -> FastAPI:
    """Return the application that shows a record.

    Parameters
    ----------
    record : Record
        What to show.
    names : sequence of str
        Names of this machine that requests must be for, so that no page from elsewhere can have its own name resolved
        to this machine and read ours (DNS rebinding); ``*`` for any.

    Notes
    -----
    Its own documentation pages are left out: they load scripts from elsewhere. The description
    of the JSON API is at ``/api/openapi.json``.
    """
    app = FastAPI(
        title="ccdwatch",
        description="Gain, read noise and masters of CCD cameras: what is on record.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.record = record
    app.state.shown = Shown()
    for shown in (overview, trends, lists, details, frame, viewer, search, downloads):
        app.include_router(shown.router, include_in_schema=False)
    if record.editing is not None:
        app.state.desk = forms.Desk()
        app.include_router(forms.router, include_in_schema=False)
    app.include_router(api.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    app.add_middleware(_Headers)
    app.add_middleware(_Heads)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False)
    app.exception_handler(HTTPException)(_failed)
    app.exception_handler(RequestValidationError)(_not_understood)
    return app


class _Headers:
    """Adds the headers to every response as it is sent: Starlette's own kind passes bodies on in pieces."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class _Heads:
    """Answers HEAD as GET, without the body: monitors and proxies ask so."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                await send({"type": "http.response.body"})

        if scope["type"] == "http" and scope["method"] == "HEAD":
            await self._app({**scope, "method": "GET"}, receive, send_without_body)
        else:
            await self._app(scope, receive, send)


def _is_api(request: Request) -> bool:
    return request.url.path.startswith("/api/")


async def _failed(request: Request, error: Exception) -> Response:
    """Say in words what could not be shown."""
    assert isinstance(error, HTTPException)
    if _is_api(request):
        return await http_exception_handler(request, error)
    response = page(request, "error.html", status=error.status_code, message=error.detail)
    response.headers.update(error.headers or {})
    return response


async def _not_understood(request: Request, error: Exception) -> Response:
    """Say in words which part of the address is not understood."""
    assert isinstance(error, RequestValidationError)
    if _is_api(request):
        return await request_validation_exception_handler(request, error)
    problem = error.errors()[0]
    words = f"{problem['loc'][-1]} = {problem['input']!r}: {problem['msg'].removeprefix('Value error, ')}"
    return page(request, "error.html", status=422, message=words)
