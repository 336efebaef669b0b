"""Addresses and times of day in a configuration: what is wrong with one, in words that show nothing of it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit


def web_address(value: str) -> str:
    """Return an address of a web server, as it is."""
    try:
        parts = urlsplit(value)
        is_well = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number
        is_well = False
    if not is_well or any(not c.isprintable() or c.isspace() for c in value):
        raise ValueError("should be an address like http://127.0.0.1:4200/api: http or https, a name, a port's number")
    return value


def public_address(value: str) -> str:
    """Return one that people are shown."""
    if "@" in urlsplit(web_address(value)).netloc:
        raise ValueError("should be an address that everybody may see, without user and password")
    return value


def database_address(value: str) -> str:
    """Return the address of a database."""
    rest = value.partition("://")[2].partition("?")[0]
    if rest.count("@") > 1 and not rest.startswith("/"):  # which is a path: SQLite's
        raise ValueError("should have %40 in place of an @ in its password")
    return value


def receiver_address(value: str) -> str:
    """Return the address of one who is told."""
    if not re.match(r"[a-zA-Z0-9]+://\S", value):
        raise ValueError("should be an address like mailto://user:password@example.org, see the Apprise pages")
    return value


def time_of_day(value: str) -> str:
    """Return a time of day, as it is."""
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError("should be a time of day like 08:00")
    return value
