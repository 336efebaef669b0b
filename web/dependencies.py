"""What pages are made from: handed in by the floor above, got by each request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from ccdcore.association.facts import QUALITY
from ccdcore.recipe import Recipes

if TYPE_CHECKING:
    from ccdcore.figures.greys import Rows


@dataclass(frozen=True)
class Editing:
    """What makes pages take marks and notes.

    Parameters
    ----------
    is_editor : callable
        Whether a name and a password are those of an editor.
    mark, note : callable
        Put on record what somebody says (``who``); raise an `ccdcore.errors.ExpectedError` where that cannot be.
    origins : frozenset of str
        Where our own forms come from: scheme, name and port.
    """

    is_editor: Callable[[str, str], bool]
    mark: Callable[..., str]
    note: Callable[..., str]
    origins: frozenset[str]


@dataclass(frozen=True)
class Record:
    """The record of a home, and what only the service knows of it.

    Parameters
    ----------
    read_session : callable
        Begins a session of the database that only reads.
    home : Path
        What the paths of masters are relative to.
    host : str
        The name that files of this machine are on record under.
    pictures : callable
        Id of a run → titles and paths of its pictures, in the order to show them; None while they are being drawn.
    residual : callable
        Id of a master → what is left of its first frame, in rows, or None.
    health : callable
        Whether the service does its work, and what needs attention, as plain JSON values: ``status``, ``healthy``,
        ``words``, ``findings``, ``attention``, ``n_attention``, ``ages_s``.
    waiting : callable
        What is still to be done: what it is (``state``), and when in words.
    prefect_ui_url : callable
        Address of the Prefect UI, or None.
    editing : Editing or None
        What makes the pages take marks and notes; None where they are read-only.
    recipes : Recipes
        By whose tolerances masters suit frames.
    quality : tuple of float
        Parts of a frame's own noise below which what a master adds is of quality 0, 1 and 2.
    """

    read_session: Callable[[], AbstractContextManager[Session]]
    home: Path
    host: str
    pictures: Callable[[int], list[tuple[str, Path]] | None]
    residual: Callable[[int], Rows | None]
    health: Callable[[], Mapping[str, Any]]
    waiting: Callable[[], Sequence[tuple[str, str]]]
    prefect_ui_url: Callable[[], str | None]
    editing: Editing | None = None
    recipes: Recipes = field(default_factory=Recipes)
    quality: tuple[float, ...] = QUALITY


def _record(request: Request) -> Record:
    record: Record = request.app.state.record
    return record


OfRecord = Annotated[Record, Depends(_record)]


def _session(record: OfRecord) -> Iterator[Session]:
    with record.read_session() as session:
        yield session


Reading = Annotated[Session, Depends(_session)]
