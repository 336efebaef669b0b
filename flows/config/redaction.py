"""What no message may show: passwords and tokens of the settings, of the environment and of addresses.

Each exit of a process goes through `redact`: its standard error, its log records, what `status` and `doctor` print,
and what is put on record of a run that failed.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit, urlunsplit

HIDDEN = "***"
_SHORTEST = 4
"""Shorter passwords are hidden in addresses only: hidden everywhere, they would take parts of other words along."""
_SHORTEST_TOKEN = 6
_UNMISTAKABLE = 12
"""What is so long is hidden within other words too."""
_TELLING = r"(?:pass|pwd|secret|token|key|auth|sig|cred)"
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s:/@'\"]*:)(?!\d{1,5}[/?#])[^\s'\"]+@")
_QUERY = re.compile(rf"([?&;][^\s=&;'\"]*{_TELLING}[^\s=&;'\"]*=)[^\s&;'\"]+", re.IGNORECASE)
_IN_WORDS = re.compile(r"((?:^|[\s'\"(])\w*pass(?:word|wd)?\s*=\s*)[^\s'\")]+", re.IGNORECASE)
"""As drivers of databases say it."""
_TELLING_NAME = re.compile(_TELLING, re.IGNORECASE)

_known: set[str] = set()
_pattern: re.Pattern[str] | None = None


def redact(text: object) -> str:
    """Return a text with what is secret in it hidden: what is known to be, and what addresses show to be."""
    plain = str(text)
    if _pattern is not None:
        plain = _pattern.sub(HIDDEN, plain)
    if "://" in plain:
        plain = _USERINFO.sub(rf"\1{HIDDEN}@", plain)
    if "=" in plain:
        plain = _IN_WORDS.sub(rf"\1{HIDDEN}", _QUERY.sub(rf"\1{HIDDEN}", plain))
    return plain


def redacted(value: Any) -> Any:
    """Return plain JSON values with what is secret in their texts hidden."""
    if isinstance(value, dict):
        return {key: redacted(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(one) for one in value]
    return redact(value) if isinstance(value, str) else value


def without_credentials(url: str) -> str:
    """Return an address as people may see it: without user, password and query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def learn(secrets: Iterable[str]) -> None:
    """Hide these from now on, in each way that messages may spell them."""
    global _pattern  # noqa: PLW0603 - what a process must not say is one thing in the whole process
    _known.update(spelling for secret in secrets for spelling in _spellings(secret) if len(spelling) >= _SHORTEST)
    # The longest first, so that nothing of one is left beside a shorter one within it.
    spelled = "|".join(map(_as_pattern, sorted(_known, key=len, reverse=True)))
    _pattern = re.compile(spelled) if spelled else None


def _as_pattern(secret: str) -> str:
    literal = re.escape(secret)
    return literal if len(secret) >= _UNMISTAKABLE else rf"(?<!\w){literal}(?!\w)"


def _spellings(secret: str) -> set[str]:
    plain = {secret, unquote(secret), unquote_plus(secret)}
    quoted = {way(one) for one in plain for way in (quote, quote_plus, lambda text: quote(text, safe=""))}
    escaped = {one for text in plain for one in (repr(text)[1:-1], json.dumps(text)[1:-1])}
    return plain | quoted | escaped | {b64encode(one.encode()).decode() for one in plain}


def secrets_of_address(url: str, *, is_token: bool = False) -> set[str]:
    """Return what is secret in an address: its password, and values in its query whose names tell.

    Parameters
    ----------
    url : str
        Also one that is not well written, as with an ``@`` or a ``/`` in its password.
    is_token : bool
        Whether user, host and path are secret too, as in the addresses of chat services: all but names with a dot.
    """
    rest = url.partition("://")[2] or url
    ends = {rest.rfind("@"), re.split(r"[/?#]", rest, maxsplit=1)[0].rfind("@")}
    logins = {rest[:end] for end in ends if end >= 0}
    found = {login.partition(":")[2] for login in logins}
    found |= {piece for password in found for piece in re.split(r"[@/:?#]", password) if len(piece) >= _SHORTEST}
    query = rest.partition("?")[2]
    for pair in re.split(r"[&;]", f"{query};{unquote_plus(query)}"):  # a value may hold the words of a driver
        name, _, value = pair.partition("=")
        if _TELLING_NAME.search(name) or _TELLING_NAME.search(unquote_plus(value)):
            found.add(value)
    if is_token:
        found.add(url)
        has_login = any(":" in login for login in logins)
        path = rest.partition("?")[0]
        tokens = re.split(r"[/@:]", path.rpartition("@")[2] if has_login else path)
        found |= {one for one in tokens if len(one) >= _SHORTEST_TOKEN and "." not in one and one != "localhost"}
    known_to_all = {login.partition(":")[0] for login in logins} | {"localhost"} if not is_token else set()
    return {one for one in found if one} - known_to_all


def install() -> None:
    """Let nothing secret leave this process by its standard error, or by its log records, wherever they go."""
    if not isinstance(sys.stderr, _Redacting):
        sys.stderr = _Redacting(sys.stderr)
    if not getattr(logging.getLogRecordFactory(), "is_redacting", False):
        logging.setLogRecordFactory(_Records(logging.getLogRecordFactory()))


class _Redacting:
    """A stream that hides what is secret; all else is that of the stream behind it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError("this stream takes text")  # click tries whether it takes bytes
        self._stream.write(redact(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Records:
    """Makes log records whose words, and whose traceback, are redacted before any handler sees them."""

    is_redacting = True

    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *args: Any, **options: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._make(*args, **options)
        try:
            said = record.getMessage()
        except (TypeError, ValueError, KeyError):  # the handlers tell who wrote it so
            return record
        if (shown := redact(said)) != said:
            record.msg, record.args = shown, ()
        if record.exc_info and not record.exc_text:
            trace = logging.Formatter().formatException(record.exc_info)
            if (shown := redact(trace)) != trace:
                record.exc_info, record.exc_text = None, shown
        return record


@contextmanager
def without_secrets() -> Iterator[None]:
    """Let errors out in words that hide what is secret: as they are, where nothing is."""
    try:
        yield
    except Exception as error:
        if (shown := redact(error)) == str(error):
            raise
        raise RuntimeError(f"{type(error).__name__}: {shown}") from None
