"""The pages of a home on a web server of their own, and a browser that lets no request leave this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from flows.home.home import open_home
from flows.service.web_server import show
from tests.support.service import free_port, wait_for

CHROMIUM = Path("/usr/bin/chromium")
_QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)


@contextmanager
def running_site(home: Path) -> Iterator[str]:
    """Show the pages of a home; yield their address."""
    opened, port, stop = open_home(home), free_port(), Event()
    server = Thread(target=show, args=(opened, "127.0.0.1", port, stop))
    server.start()
    try:
        address = f"http://127.0.0.1:{port}"
        assert wait_for(lambda: answers(address), seconds=30)
        yield address
    finally:
        stop.set()
        server.join(timeout=30)
        opened.engine.dispose()
    assert not server.is_alive()


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/static/page.js").status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_QUIET.split())
        yield browser
        browser.close()


def follow(link: Locator) -> None:
    """Click what leads to another page, and wait until that is there: what is counted before is counted of neither."""
    with link.page.expect_navigation():
        link.click()


@dataclass
class Visit:
    """One tab: what it complained of, and every host it asked."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).hostname or ""))

    def to(self, address: str) -> Page:
        """Go to a page and see that it is one."""
        response = self.page.goto(address)
        assert response is not None
        assert response.ok, f"{address}: {response.status}"
        return self.page

    def went_well(self) -> None:
        """See that nothing was complained of and nobody else asked."""
        assert self.complaints == []
        assert self.hosts == {"127.0.0.1"}
