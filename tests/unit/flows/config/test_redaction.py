"""What no message may show. Every message is tried with planted secrets by goal 33 of tests/faults."""

import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from flows.config import redaction
from flows.config.redaction import (
    install,
    learn,
    redact,
    redacted,
    secrets_of_address,
    without_credentials,
    without_secrets,
)
from tests.support.service import COMMAND


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    with patch.object(redaction, "_known", set()), patch.object(redaction, "_pattern", None):
        yield


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:hunter2@h/db is away", "postgresql://u:***@h/db is away"),
        ("postgresql+psycopg://u:p@ss/w?rd@h/db", "postgresql+psycopg://u:***@h/db"),
        ("'https://u:hunter2@h:4200/api', then", "'https://u:***@h:4200/api', then"),
        ("postgresql://u@h/db?sslmode=require&password=hunter2", "postgresql://u@h/db?sslmode=require&password=***"),
        ("https://h/api?access_token=abc&x=1", "https://h/api?access_token=***&x=1"),
        ("host=h user=u password=hunter2 dbname=d", "host=h user=u password=*** dbname=d"),
        ("pages at http://127.0.0.1:4300, Prefect at http://h:4200/api", None),
        ("http://127.0.0.1:4300/trends/gain?instrument=a@b", None),
        ("spec.gain = 'gain', at most = 3", None),
        ("the password of Prefect: see /home/a@b/c", None),
    ],
)
def test_addresses_show_what_is_secret_in_them(text: str, shown: str | None) -> None:
    assert redact(text) == (shown or text)


@pytest.mark.parametrize(
    ("address", "is_token", "secrets", "known_to_all"),
    [
        ("postgresql://u:hunter2@h/db", False, {"hunter2"}, {"u", "h", "db"}),
        ("postgresql://ccdwatch:ccdwatch@h/ccdwatch", False, set(), {"ccdwatch"}),
        ("postgresql://u:a@bcdef@h/db", False, {"a@bcdef", "bcdef"}, {"h"}),
        ("mssql:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dhunter2", False, {"hunter2"}, {"x"}),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnl", True, {"T1JJ3T3L2", "A1BRTD4JD", "TIiajkdnl"}, {"slack"}),
        ("tgram://123456789:AAdef-ghi/12315544", True, {"AAdef-ghi", "123456789"}, {"tgram"}),
        ("mailto://observer:hunter2@example.org", True, {"hunter2"}, {"observer", "example.org", "mailto"}),
        ("ntfys://alert-topic", True, {"alert-topic"}, {"ntfys"}),
        ("pover//user@tokentoken", True, {"tokentoken"}, set()),
    ],
)
def test_what_is_secret_in_an_address(address: str, is_token: bool, secrets: set[str], known_to_all: set[str]) -> None:
    found = secrets_of_address(address, is_token=is_token)
    assert secrets <= found
    assert not known_to_all & found


def test_a_secret_is_hidden_however_it_is_spelled() -> None:
    learn(["p@ss 'wörd'/\\", "short", "a long enough one"])
    for spelled in ("p@ss 'wörd'/\\", repr("p@ss 'wörd'/\\"), "p%40ss%20%27w%C3%B6rd%27%2F%5C", "cEBzcyAnd8O2cmQnL1w="):
        assert "***" in redact(f"at {spelled}, or so")
        assert "rd" not in redact(f"at {spelled}, or so").replace("or so", "")
    assert redact("shorter, short.") == "shorter, ***."
    assert redact("xa long enough onex") == "x***x"
    assert redacted({"a": ["short", {"b": "short"}], "n": 1}) == {"a": ["***", {"b": "***"}], "n": 1}
    assert without_credentials("https://u:short@h:1/api?token=x#f") == "https://h:1/api"


def test_log_records_and_errors_are_redacted() -> None:
    learn(["hunter2"])
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logger = logging.Logger("of a library")
    logger.addHandler(handler)
    with patch.object(sys, "stderr", io.StringIO()):
        before = logging.getLogRecordFactory()
        install()
        install()  # nothing more
        try:
            logger.error("%s of %s", "hunter2", {"url": "json://u:abc@h"})
            logger.error("%d", "hunter2, which is no number")
            try:
                int("hunter2")
            except ValueError:
                logger.exception("it failed")
            print("hunter2 was said", file=sys.stderr)  # noqa: T201
            with pytest.raises(TypeError):
                sys.stderr.write(b"")  # type: ignore[arg-type]
            stderr = sys.stderr.getvalue()  # type: ignore[attr-defined]
        finally:
            logging.setLogRecordFactory(before)
    assert "*** of {'url': 'json://u:***@h'}" in said.getvalue()
    assert "Traceback" in said.getvalue()
    assert "ValueError: invalid literal for int() with base 10: '***'" in said.getvalue()
    assert "hunter2" not in said.getvalue() + stderr
    assert "Message: '%d'" in stderr
    assert "*** was said" in stderr
    with pytest.raises(RuntimeError, match=r"OSError: \*\*\* is away"), without_secrets():
        raise OSError("hunter2 is away")
    with pytest.raises(OSError, match="all is well"), without_secrets():
        raise OSError("all is well")


def test_a_traceback_of_the_command_shows_no_secret(tmp_path: Path) -> None:
    (tmp_path / "ccdwatch.toml").write_text('[database]\nurl = "postgresql+psycopg://u:hunter2secret@127.0.0.1:1/d"\n')
    broken = "import db.engine; db.engine.create_engine = lambda url, **_: {}[url]"
    words = f"{broken}; import sys; sys.argv[1:] = ['process', '.']; from flows.cli.main import main; main()"
    done = subprocess.run(
        [COMMAND[0], "-c", words], env={"CCDWATCH_HOME": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert "KeyError" in done.stderr
    assert "postgresql+psycopg://u:***@127.0.0.1:1/d" in done.stderr
    assert "hunter2secret" not in done.stderr
