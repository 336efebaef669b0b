"""Errors of the record."""

from __future__ import annotations

from ccdcore.errors import ExpectedError


class DatabaseError(ExpectedError):
    """The database cannot be used as asked; the message says what to type next."""


class UnknownIdError(DatabaseError, LookupError):
    """An id that names nothing on record, or more than one thing."""


class NotSaidError(DatabaseError):
    """What is to be taken back was never said, or has been taken back."""
