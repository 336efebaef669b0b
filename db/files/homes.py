"""Which home the database belongs to, and which machine its files are on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session, aliased

from db.files.ledger import FileRow
from db.schema.models import File, FileState, Frame, Home, Run
from db.schema.upsert import batches, insert

_ONLY = 1


@dataclass(frozen=True, slots=True)
class HomeOnRecord:
    """The home that a database belongs to.

    Parameters
    ----------
    mark : str
        32 hexadecimal digits, which the home holds too.
    path, machine : str
        Where it was last opened: the folder, and the name of the machine.
    host : str
        The name that its files are on record under.
    """

    mark: str
    path: str
    machine: str
    host: str


def home_on_record(session: Session) -> HomeOnRecord | None:
    """Return the home that the database belongs to; None where it has belonged to none."""
    columns = [getattr(Home, name) for name in HomeOnRecord.__dataclass_fields__]
    row = session.execute(select(*columns)).first()
    return None if row is None else HomeOnRecord(*row)


def record_home(session: Session, home: HomeOnRecord, *, anew: bool) -> HomeOnRecord:
    """Let the database belong to a home; return the one that it belongs to, which was there first unless ``anew``."""
    values = {name: getattr(home, name) for name in HomeOnRecord.__dataclass_fields__}
    statement = insert(session, Home).values(key=_ONLY, **values)
    if anew:
        session.execute(statement.on_conflict_do_update(index_elements=["key"], set_=values))
    else:
        session.execute(statement.on_conflict_do_nothing())
    found = home_on_record(session)
    assert found is not None
    return found


def files_by_host(session: Session) -> dict[str, int]:
    """Return how many files are on record, by the name of their machine."""
    return dict(session.execute(select(File.host, func.count()).group_by(File.host)).tuples().all())


def files_of_host(session: Session, host: str) -> list[FileRow]:
    """Return the files that are on record under a name of a machine."""
    columns = [getattr(File, name) for name in FileRow.__dataclass_fields__]
    return [FileRow(*row) for row in session.execute(select(*columns).where(File.host == host).order_by(File.id))]


def rename_host(session: Session, file_ids: Collection[int], *, old: str, new: str) -> int:
    """Put files on record under another name of their machine; return how many.

    A file whose path is on record under the new name already stays as it is.
    """
    other = aliased(File)
    taken = select(other.id).where(
        other.host == new, other.root == File.root, other.relative_path == File.relative_path
    )
    renamed = 0
    for ids in batches(file_ids):
        moved = update(File).where(File.id.in_(ids), File.host == old, ~taken.exists()).values(host=new)
        found = session.execute(moved.returning(File.id).execution_options(synchronize_session=False))
        renamed += len(found.all())
    return renamed


def rename_machine_of_runs(session: Session, *, old: str, new: str) -> None:
    """Let runs that have not ended be looked for on the machine under its new name."""
    open_runs = update(Run).where(Run.host == old, Run.outcome.is_(None)).values(host=new)
    session.execute(open_runs.execution_options(synchronize_session=False))


def on_disk(host: str) -> ColumnElement[bool]:
    """Whether a file of ``host`` holds the frame: one whose file was edited since has left its set."""
    return select(File.id).where(File.frame_id == Frame.id, File.host == host).exists()


def newest_done(session: Session, *, host: str, at_most: int) -> list[FileRow]:
    """Return the files of ``host`` that frames were registered from last, the newest in front."""
    columns = [getattr(File, name) for name in FileRow.__dataclass_fields__]
    query = select(*columns).where(File.state == FileState.DONE, File.host == host)
    return [FileRow(*row) for row in session.execute(query.order_by(File.id.desc()).limit(at_most))]
