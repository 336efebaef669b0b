"""A database that goes away while somebody works: a server that is restarted, a lock that others hold for long."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

_WORDS = (OperationalError.__name__, InterfaceError.__name__, "cannot open the database")
"""The last is that of `db.engine.make_engine`."""


def is_database_lost(error: BaseException | None) -> bool:
    """Whether a database could not be used, which says nothing of what was to be done with it."""
    if error is None:
        return False
    is_it = isinstance(error, OperationalError | InterfaceError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )
    return is_it or says_database_lost(str(error)) or is_database_lost(error.__cause__ or error.__context__)


def says_database_lost(message: str | None) -> bool:
    """Whether the message of a run that ended says so."""
    return any(words in (message or "") for words in _WORDS)
