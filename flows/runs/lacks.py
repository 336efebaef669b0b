"""Each product of a run on its own: one that cannot be made costs no other, and the record says why."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ccdcore.errors import CcdError, ChangedFrameError, InsufficientDataError, NoLightError
from ccdcore.frames.frame import SeriesFrame
from db.runs.inputs import NewInput
from db.runs.runs import get_run
from flows.config.redaction import redact
from flows.home.disk import is_disk_full
from flows.home.lost_database import is_database_lost
from flows.runs.run import Run

FOR = "for "
"""Begin of the role of a frame that was left out of a product: the product follows."""

_OF_THE_RUN = ChangedFrameError, MemoryError, OSError
"""What is no product's own trouble, as a full disk and a lost database: frames that change or cannot be read, …"""


_MOST_NOTES = 5


class ProductFailedError(Exception):
    """A product failed, which is on record; the others are made."""


class NothingMadeError(Exception):
    """What could have been made of the frames failed."""


@contextmanager
def producing(run: Run, product: str, frames: Sequence[SeriesFrame] = ()) -> Iterator[None]:
    """Make a product; where that does not go, put the reason on record and let the others go on.

    Parameters
    ----------
    run : Run
        The open run.
    product : str
        Its name for people, for example ``master flat V``.
    frames : sequence of SeriesFrame
        What it would have been made of.

    Raises
    ------
    Exception
        What is no product's own trouble, until the run is over: its results are then not released.
    """
    try:
        yield
    except NoLightError as error:
        for frame in frames:
            leave_out(run, product, [frame], error.reasons.get(frame.path, str(error)))
        put_lack(run, product, str(error))
    except InsufficientDataError as error:
        put_lack(run, product, str(error), frames)
    except Exception as error:
        if isinstance(error, _OF_THE_RUN) or is_disk_full(error) or is_database_lost(error):
            with run.home.read_session() as session:
                is_over = get_run(session, run.id).outcome is not None
            if not is_over:
                raise
        put_lack(run, product, in_words(error), is_failure=True)


def put_lack(
    run: Run,
    product: str,
    reason: str,
    frames: Sequence[SeriesFrame] = (),
    *,
    is_failure: bool = False,
) -> None:
    """Put on record that a product is not made, why, and of which frames it would have been."""
    leave_out(run, product, frames, reason)
    run.put_lack(product, reason, is_failure=is_failure)


def leave_out(run: Run, product: str, frames: Sequence[SeriesFrame], reason: str) -> None:
    """Put on record that these frames are left out of a product, and why."""
    role = f"{FOR}{product}"
    if frames and (detector := frames[0].detector) is not None:
        reason = f"detector {detector.name}: {reason}"
    inputs = [NewInput(role=role, sha256=one.sha256, path=str(one.path), excluded=reason) for one in frames]
    run.put_inputs(inputs)


def in_words(error: BaseException) -> str:
    """Return what an error says; of one that nobody foresaw also what it is and where it came from."""
    if isinstance(error, CcdError | NothingMadeError):
        return redact(str(error))
    where = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" (in {Path(frame.filename).name}, line {frame.lineno})" for frame in where)
    return redact(f"{type(error).__name__}: {error}{place}")


def in_short(notes: Sequence[str]) -> str:
    """Join what is said of a product that is not made; of much of it some."""
    more = len(notes) - _MOST_NOTES
    return "; ".join([*notes[:_MOST_NOTES], *([f"and {more} more"] if more > 0 else [])]) or "nothing is known of why"
