"""Receivers of messages on loopback."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from flows.home.home import Home, open_home


class Receiver:
    """A web server on loopback that keeps what it is sent; with another status it refuses."""

    def __init__(self) -> None:
        received: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if outer.status == 200:
                    received.append(content)
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.status = 200
        self.received = received
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_port}/"
        Thread(target=self.server.serve_forever, daemon=True).start()


def home_with(path: Path, urls: list[str], *, nightly: str | None = None) -> Home:
    path.mkdir(exist_ok=True)
    of_night = f'nightly = "{nightly}"\n' if nightly else ""
    (path / "ccdwatch.toml").write_text(
        f'[notify]\nurls = {json.dumps(urls)}\n{of_night}[web]\npublic_url = "https://ccd.example"\n', encoding="utf-8"
    )
    return open_home(path)
