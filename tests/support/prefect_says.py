"""A server of our own in the place of Prefect's: it says what it is told to say, and what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from flows.prefect_server.client import FLOWS


@dataclass
class Server:
    """What was asked, and what is answered: path → (status, body), which may depend on what is asked."""

    url: str = ""
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    authorised: list[str | None] = field(default_factory=list)
    answers: dict[str, tuple[int, Callable[[Any], bytes]]] = field(default_factory=dict)

    def answer(self, path: str, body: object, status: int = 200) -> None:
        def say(asked: Any) -> bytes:
            said = body(asked) if callable(body) else body
            return said if isinstance(said, bytes) else json.dumps(said).encode()

        self.answers["/api" + path] = status, say

    def is_well(self) -> None:
        """Answer as a server that knows our flows, and on which nobody did anything."""
        self.answer("/health", True)
        self.knows(FLOWS)
        self.has_runs()

    def knows(self, flows: Sequence[str], *, paused: Sequence[str] = ()) -> None:
        """Know these flows with a deployment of ours."""

        def named(asked: Any) -> list[dict[str, str]]:
            return [{"name": one} for one in (paused if "paused" in asked["deployments"] else flows)]

        self.answer("/flows/filter", named)

    def has_runs(self, *runs: dict[str, Any]) -> None:
        """Have these flow runs, asked for by their states."""

        def filtered(asked: Any) -> list[dict[str, Any]]:
            return [run for run in runs if run["state_type"] in asked["flow_runs"]["state"]["type"]["any_"]]

        self.answer("/flow_runs/filter", filtered)


@contextmanager
def prefect_says() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.authorised.append(self.headers.get("Authorization"))
            asked = json.loads(body) if body else None
            state.asked.append((self.command, self.path, asked))
            status, say = state.answers.get(self.path, (404, lambda _: b"{}"))
            answer = say(asked)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_port}/api"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def flow_run(kind: str, message: str = "", *, ago: timedelta, name: str = "brave-hare", **of: Any) -> dict[str, Any]:
    """Return a flow run of the flow calibrate that somebody asked for by hand, so long ago in a state."""
    state = {"message": message, "timestamp": (datetime.now(UTC) - ago).isoformat()}
    names = {"id": f"f {name}", "name": name, "state_type": kind, "state_name": kind.capitalize(), "state": state}
    return {**names, "flow_id": "calibrate", "idempotency_key": None, "parameters": {}, **of}
