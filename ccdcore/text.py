"""How values and text of unknown origin are written for people."""

from __future__ import annotations


def one_line(text: object) -> str:
    """Return a header value, path or message as text that a terminal or a comment can bear: one line, no controls."""
    return "".join(c if c.isprintable() else " " for c in readable(str(text)))


def number_of(n: int, thing: str) -> str:
    """Return for example ``1 file``, ``2 files``."""
    return f"{n} {thing}{'s'[: n != 1]}"


def readable(text: str) -> str:
    """Return ``text`` with the bytes of a file name that are no UTF-8 shown as escapes."""
    return text.encode(errors="backslashreplace").decode()
