"""The Prefect server's door: its password, and the names it answers to. A real one is asked in tests/e2e."""

import asyncio
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.config.errors import SettingsError
from flows.config.settings import load_settings
from flows.prefect_server.application import guarded, server_names
from flows.prefect_server.password import password_environment, password_file, password_of

LOCAL = "http://127.0.0.1:4200/api"


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)


async def open_to_all(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await PlainTextResponse("all that it knows")(scope, receive, send)


@pytest.fixture
def app(tmp_path: Path) -> ASGIApp:
    (tmp_path / "ccdwatch.toml").write_text('[web]\npublic_url = "https://ccd.observatory.example/pages"\n')
    return guarded(open_to_all, server_names(load_settings(tmp_path)))


def asked(app: ASGIApp, kind: str, method: str, *, host: str, origin: str | None) -> Message:
    """Return how the application begins its answer."""
    headers = [(b"host", host.encode()), *([(b"origin", origin.encode())] if origin else [])]
    answers: list[Message] = []

    async def receive() -> Message:
        return {"type": f"{kind}.request"}

    async def send(message: Message) -> None:
        answers.append(message)

    scope = {"type": kind, "method": method, "path": "/api/flow_runs/filter", "headers": headers}
    asyncio.run(app({**scope, "extensions": {"websocket.http.response": {}}}, receive, send))  # type: ignore[arg-type]
    return answers[0]


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:4200", None, 200),
        ("localhost:4200", "http://localhost:4200", 200),
        ("127.0.0.1", "http://127.0.0.1:4200", 200),
        ("ccd.observatory.example", "https://ccd.observatory.example", 200),
        ("evil.example", "http://evil.example", 400),
        ("evil.example:4200", "http://evil.example:4200", 400),
        ("127.0.0.1.evil.example", None, 400),
        ("evil.example", "http://127.0.0.1:4200", 400),
        ("127.0.0.1:4200", "http://evil.example", 403),
        ("127.0.0.1:4200", "http://localhost.evil.example:4200", 403),
        ("127.0.0.1:4200", "null", 403),
        ("127.0.0.1:4200", "http://[", 403),
    ],
)
def test_it_answers_to_names_of_this_machine_and_to_its_own_pages(
    app: ASGIApp, host: str, origin: str | None, status: int
) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        assert asked(app, "http", method, host=host, origin=origin)["status"] == status
    begins = asked(app, "websocket", "GET", host=host, origin=origin)
    assert (begins["type"], begins.get("status", 200)) == (
        "websocket.accept" if status == 200 else "websocket.http.response.start",
        status,
    )


def test_the_password_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:  # as the parts of a service, which start at the same time
        (password,) = set(pool.map(lambda _: password_of(tmp_path, LOCAL), range(16)))
    assert password is not None
    assert len(password) > len("ccdwatch:") + 20
    assert password_file(tmp_path).read_text() == f"{password}\n"
    assert stat.S_IMODE(password_file(tmp_path).stat().st_mode) == 0o600
    assert password_of(tmp_path / "another", LOCAL) != password


def test_a_server_elsewhere_is_not_sent_the_homes_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert password_of(tmp_path, "https://prefect.example/api") is None
    assert password_environment(tmp_path, "https://127.0.0.1.evil.example/api") == {}
    assert not password_file(tmp_path).exists()
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "observer:dark sky")
    for url in ("https://prefect.example/api", LOCAL):
        assert set(password_environment(tmp_path, url).values()) == {"observer:dark sky"}
    assert not password_file(tmp_path).exists()


def test_a_password_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    password_file(tmp_path).mkdir(parents=True)
    with pytest.raises(SettingsError, match="cannot be read: Is a directory: type this as the user"):
        password_of(tmp_path, LOCAL)
