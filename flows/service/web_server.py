"""The pages of a home, shown by a web server of its own."""

from __future__ import annotations

from threading import Event, Thread
from urllib.parse import urlsplit

import uvicorn

from flows.config.settings import WebSettings
from flows.home.home import Home
from flows.home.service_address import prefect_address, prefect_pages
from flows.prefect_server.password import LOOPBACK
from flows.runs.pictures import pictures_of
from flows.service.health import condition
from web.app import make_app
from web.dependencies import Record


def show(home: Home, host: str, port: int, stop: Event) -> None:
    """Show the pages of a home until told to stop."""
    record = Record(
        read_session=home.read_session,
        home=home.path,
        host=home.settings.host,
        pictures=lambda run_id: pictures_of(home, run_id),
        health=lambda: condition(home).as_dict(),
        prefect_ui_url=lambda: (url := prefect_address(home)) and prefect_pages(url),
    )
    config = uvicorn.Config(
        make_app(record, names=_names(home.settings.web, host)),
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


def _names(web: WebSettings, host: str) -> list[str]:
    """Return the names that the pages answer to: any, where other machines may reach them."""
    if host not in LOOPBACK:
        return ["*"]
    return [*LOOPBACK, *([urlsplit(web.public_url).hostname or ""] if web.public_url else [])]
