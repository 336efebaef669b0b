"""The files that a run reads its frames from: what they held when they were registered, and when it looked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from db.schema.models import File, FileState, RunInput

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class RawInput:
    """A file that a run reads a frame from.

    Parameters
    ----------
    path : Path
        Where it lies.
    file_sha256 : str or None
        SHA-256 of the bytes that the frame was registered from; None where they are no longer on the ledger.
    signature : str or None
        What the file was like when the run found these bytes in it; None where it has not looked.
    """

    path: Path
    file_sha256: str | None
    signature: str | None


def raw_inputs(session: Session, run_id: int) -> list[RawInput]:
    """Return the files that a run reads; what it left out at first sight is not read."""
    query = (
        select(RunInput.path, RunInput.file_sha256, RunInput.signature)
        .where(RunInput.run_id == run_id, RunInput.frame_id.is_not(None), RunInput.path.is_not(None))
        .where(RunInput.excluded.is_(None))
        .order_by(RunInput.id)
    )
    return [RawInput(Path(path or ""), sha256, signature) for path, sha256, signature in session.execute(query)]


def record_signatures(session: Session, run_id: int, signatures: Mapping[Path, str]) -> None:
    """Record what the files of a run were like when it found in them what is on record."""
    for path, signature in signatures.items():
        here = (RunInput.run_id == run_id, RunInput.path == str(path))
        session.execute(
            update(RunInput).where(*here).values(signature=signature).execution_options(synchronize_session=False)
        )


def files_to_read(session: Session, run_id: int, *, host: str) -> list[int]:
    """Return the files of a run that wait to be read again, because they are no longer what they were."""
    query = select(File.id, File.root, File.relative_path).where(
        File.host == host, File.state.in_([FileState.READY, FileState.CLAIMED])
    )
    waiting = {Path(root) / below: file_id for file_id, root, below in session.execute(query)}
    of_run = session.scalars(select(RunInput.path).where(RunInput.run_id == run_id))
    return sorted({waiting[path] for text in of_run if text and (path := Path(text)) in waiting})
