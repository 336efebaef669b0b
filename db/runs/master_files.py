"""The files of masters, one at a time: what is shown of them is looked for often."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.schema.models import Master, Outcome, Run


@dataclass(frozen=True, slots=True)
class MasterFile:
    """Where the file of a master lies, relative to the home, and what is on record of it."""

    kind: str
    path: str
    sha256: str


def master_file(session: Session, master_id: int) -> MasterFile | None:
    """Return the file of a master; None where there is no such master, or its run came to no end."""
    query = select(Master.kind, Master.path, Master.sha256).join(Run, Master.run_id == Run.id)
    row = session.execute(query.where(Master.id == master_id, Run.outcome == Outcome.DONE)).one_or_none()
    return None if row is None else MasterFile(*row)
