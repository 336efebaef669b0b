"""Secrets planted in every place of a configuration: no command, log, record or page says one."""

from __future__ import annotations

import io
import json
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from flows.calibration.engine import recording_failure
from flows.config import redaction
from flows.health.condition import condition
from flows.health.state import health
from flows.home.home import open_home
from flows.prefect_server.client import PrefectApi, PrefectUnavailableError
from flows.telling.notifier import _send
from tests.support.command import ccdwatch

SECRET = "hunter2Secret"
TOKEN = "T0kenOfTheRoom"
DATABASES = (
    "postgresql+psycopg://u:{}@127.0.0.1:1/d",
    "postgresql+psycopg://u:{}%40x@127.0.0.1:1/d",
    "postgresql+psycopg://u:x@{}@127.0.0.1:1/d",
    "postgresql+psycopg://u:{}/@127.0.0.1:1/d",
    "postgresql+psycopg://u:{}@127.0.0.1:abc/d",
    "postgresql+psycopg://u@127.0.0.1:1/d?password={}",
    "postgresql+psycopg://u@127.0.0.1:1/d?passwort={}",
    "nosuch://u:{}@127.0.0.1/d",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3D{}",
)
RECEIVERS = (
    "json://user:{}@127.0.0.1:1/hook",
    "json://127.0.0.1:1/{}",
    "json://user:x@127.0.0.1:1/?token={}",
    "slack://{}",
    "nosuch://{}/x",
    "mailto//user:{}@example.org",
    "{}",
)
PLACES = (
    "instrument",
    "watch",
    "[web]\nport",
    "[watch]\nquiet_seconds",
    "[watch]\npolling",
    "[nights]\nwindow_nights",
    "[prefect]\napi_url",
    "[prefect]\ntask_runner",
    "[recipes.bias]\nclip_sigma",
)
"""Keys whose values it is in the wrong place of."""


def run(full: bool) -> str:
    plain = _configurations()
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory:
        top = Path(directory)
        for number, text in enumerate(plain):
            with _forgetting():  # what another one had taught it would be hidden here too
                _commands(top / f"home{number}", text)
        with _forgetting():
            _in_work(top / "work")
    return f"{len(plain)} configurations × 5 commands, receivers that fail, a failed run, health: 0 secrets said"


def _commands(home: Path, text: str) -> None:
    home.mkdir()
    (home / "ccdwatch.toml").write_text(text)
    for words in (["process", str(home)], ["status"], ["doctor"], ["db", "check"], ["status", "--json"]):
        said = ccdwatch(*words, "--home", home)
        _says_none(said.out.decode() + said.err, f"{text} {' '.join(words)}")
        assert "Traceback" not in said.err, f"{text} {' '.join(words)}: {said.err}"


def _configurations() -> list[str]:
    texts = [f'[database]\nurl = "{one.format(SECRET)}"\n' for one in DATABASES]
    texts += [f'[notify]\nurls = ["mailto://a:b@c.org", "{one.format(SECRET)}"]\n' for one in RECEIVERS]
    known = f"https://u:{SECRET}@127.0.0.1:1/api"
    texts += [f'[prefect]\napi_url = "{known}"\n', f'[prefect]\napi_url = "{known.replace(":1/", ":abc/")}"\n']
    texts += [f'[web]\npublic_url = "{known}"\n', f'[web]\nport = "{known}"\n', f'notify = "json://u:{SECRET}@h"\n']
    texts += [f'[notify]\nurl = "{known}"\n', f'[notify]\nurls = "{known}"\n', f'database = "{known}"\n']
    texts += [f'[database]\nurl = {{ url = "{known}" }}\n', f'[watch]\nhost = 3\n[notify]\nurls = ["{known}"]\n']
    # In place of what it is not.
    texts += [f'{place} = "{SECRET}"\n' for place in PLACES]
    texts += [f'{place} = {{ it = "{SECRET}" }}\n' for place in PLACES[:3]]
    return texts


@contextmanager
def _forgetting() -> Iterator[None]:
    """Leave the process as it was: what it knows to be secret, and how it makes log records."""
    before = logging.getLogRecordFactory()
    with patch.object(redaction, "_known", set()), patch.object(redaction, "_pattern", None):
        try:
            yield
        finally:
            logging.setLogRecordFactory(before)


def _says_none(text: str, what: str) -> None:
    for secret in (SECRET, TOKEN):
        assert secret not in text, f"{what}: {text}"


def _in_work(path: Path) -> None:
    """Receivers and a Prefect that cannot be reached, and a run that fails with an address in its message."""
    path.mkdir()
    receivers = [f"json://user:{SECRET}@127.0.0.1:1/{TOKEN}", f"slack://{TOKEN}/{TOKEN}/{TOKEN}"]
    api_url = f"http://u:{SECRET}@127.0.0.1:1/api"
    (path / "ccdwatch.toml").write_text(f"[notify]\nurls = {json.dumps(receivers)}\n[prefect]\napi_url = '{api_url}'\n")
    home = open_home(path)
    redaction.install()
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger("apprise").addHandler(handler)
    logging.getLogger("flows").addHandler(handler)
    try:
        with (
            patch("flows.telling.notifier.title_of", return_value="t"),
            patch("flows.telling.notifier.body_of", return_value="b"),
        ):
            for receiver in receivers:
                assert not _send(home, receiver, [])
    finally:
        logging.getLogger("apprise").removeHandler(handler)
        logging.getLogger("flows").removeHandler(handler)
    assert log.getvalue()
    _says_none(log.getvalue(), "the log")
    said: list[str] = []
    recording = patch("flows.calibration.engine.fail_run", side_effect=lambda *_, message, **__: said.append(message))
    with recording, recording_failure(home, 1):
        raise ValueError(f"{receivers[0]} and {api_url} do not answer: {TOKEN}")
    assert said
    _says_none(said[0], "the record")
    with PrefectApi(api_url) as api:
        try:
            api.state("f1")
        except PrefectUnavailableError as error:
            _says_none(str(error), "Prefect")
    _says_none(json.dumps([health(home).as_dict(), condition(home).as_dict()]), "health")
    home.engine.dispose()
