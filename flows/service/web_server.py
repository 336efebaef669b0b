"""The pages of a home, shown by a web server of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import uvicorn

from flows.config.settings import WebSettings
from flows.health.judgement import judge
from flows.health.waiting import waiting_in_words
from flows.home.home import Home
from flows.home.service_address import prefect_address, prefect_pages
from flows.judgements.editors import are_edits_allowed, is_editor
from flows.judgements.judging import mark, note
from flows.prefect_server.password import LOOPBACK
from flows.service.drawer import Drawer
from web.app import make_app
from web.dependencies import Editing, Record

if TYPE_CHECKING:
    from ccdcore.figures.greys import Rows

REMEMBERED_SECONDS = 5.0
"""How long the pages and monitors are told the same of health."""


def show(home: Home, host: str, port: int, stop: Event) -> None:
    """Show the pages of a home until told to stop."""
    config = uvicorn.Config(
        make_app(record_of(home, host, port), names=_names(home.settings.web, host)),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    # In a thread of its own it leaves the signals to us: the process then ends with status 0, as the others do.
    thread = Thread(target=server.run, name="pages")
    thread.start()
    while thread.is_alive() and not stop.wait(0.5):
        pass
    server.should_exit = True
    thread.join()


def _residual(home: Home, master_id: int) -> Rows | None:
    from flows.masters.residuals import residual_rows  # takes long to load, and most pages need none of it

    return residual_rows(home, master_id)


def record_of(home: Home, host: str, port: int) -> Record:
    """Return what the pages of a home are made from, for a server at an address."""
    return Record(
        read_session=home.read_session,
        home=home.path,
        host=home.settings.host,
        pictures=Drawer(home).pictures,
        residual=partial(_residual, home),
        health=_remembered(lambda: judge(home).as_dict()),
        waiting=lambda: waiting_in_words(home),
        prefect_ui_url=lambda: (url := prefect_address(home)) and prefect_pages(url),
        editing=_editing(home, host, port),
        recipes=home.settings.recipes,
        quality=home.settings.science.quality,
    )


def _remembered(ask: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Return what asks anew only after some seconds: pages that are open all night ask again and again."""
    answer: dict[str, Any] = {}
    until, lock = 0.0, Lock()

    def remembered() -> dict[str, Any]:
        nonlocal answer, until
        with lock:
            if time.monotonic() >= until:
                answer, until = ask(), time.monotonic() + REMEMBERED_SECONDS
            return answer

    return remembered


def _names(web: WebSettings, host: str) -> list[str]:
    """Return the names that the pages answer to: any, where other machines may reach them."""
    if host not in LOOPBACK:
        return ["*"]
    return [*LOOPBACK, *([urlsplit(web.public_url).hostname or ""] if web.public_url else [])]


def _editing(home: Home, host: str, port: int) -> Editing | None:
    """Return what makes the pages take marks and notes; None where they are read-only."""
    if not are_edits_allowed(home.settings, host):
        return None
    return Editing(
        is_editor=partial(is_editor, home.settings),
        mark=partial(mark, home),
        note=partial(note, home),
        origins=frozenset(_origins(home.settings.web, host, port)),
    )


def _origins(web: WebSettings, host: str, port: int) -> Iterator[str]:
    """Yield what browsers call the site of our pages: the public one, and on this machine its own names."""
    if web.public_url:
        parts = urlsplit(web.public_url)
        yield f"{parts.scheme}://{parts.netloc}".lower()
    if host in LOOPBACK:
        yield from (f"http://{name}:{port}" for name in LOOPBACK)
