"""How the light processes speak to a Prefect server that asks for a password."""

import base64
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from flows.prefect_api import PrefectApi


@pytest.fixture
def guarded() -> Iterator[str]:
    """The address of a server that lets in ``observer`` with the password ``a:b`` only."""
    expected = "Basic " + base64.b64encode(b"observer:a:b").decode()

    class Guard(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.headers.get("Authorization") == expected else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Guard) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


@pytest.mark.parametrize(("auth", "is_let_in"), [("observer:a:b", True), ("observer:c", False), ("", False)])
def test_the_auth_string_is_sent(guarded: str, auth: str, is_let_in: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", auth)
    with PrefectApi(guarded) as api:
        assert api.is_ready() is is_let_in
