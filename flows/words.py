"""Words for people: text of unknown origin on one line, and numbers of things."""

from __future__ import annotations

from db.rows import readable


def one_line(text: object) -> str:
    """Return a header value, path or message as text that a terminal or a comment can bear: one line, no controls."""
    return "".join(c if c.isprintable() else " " for c in readable(str(text)))


def number_of(n: int, thing: str) -> str:
    """Return for example ``1 file``, ``2 files``."""
    return f"{n} {thing}{'s'[: n != 1]}"
