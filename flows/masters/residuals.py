"""What is left of the first frame of a master, rows at a time: what the pages show of masters of any size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ccdcore.consistency.residuals import difference, scale_to
from ccdcore.errors import ExpectedError
from ccdcore.frames.frame import SeriesFrame
from ccdcore.headers.instrument import FrameType
from ccdcore.io.plain_files import file_sha256
from ccdcore.io.stored_pixels import stored_pixels, stored_planes
from ccdcore.masters.file import read_master
from ccdcore.reduction.master import Master
from ccdcore.reduction.reduce import ReducedPixels
from db.files.raw_inputs import raw_inputs
from db.runs.masters import run_masters
from db.schema.models import Master as MasterTable
from flows.home.home import Home
from flows.masters.dark_of_flats import dark_of_flats
from flows.products.ingredients import master_bias_for
from flows.runs.run import Run
from flows.runs.verification import changed_input

_MOST_IN_MEMORY = 25_000_000
"""Pixels of a frame that must be decoded whole, or of a dark that is read whole."""


@dataclass(frozen=True, slots=True, eq=False)
class ResidualRows:
    """A frame minus its master, of which any rows are reckoned when they are asked for, in the unit of the master."""

    reduced: ReducedPixels
    master: Master
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.reduced.shape

    @property
    def nbytes(self) -> int:
        """What of it is in memory: frames that had to be decoded, darks."""
        images = [self.reduced.raw, *(one.value for one in (self.reduced.bias, self.reduced.dark) if one is not None)]
        return sum(one.nbytes for one in images if isinstance(one, np.ndarray))

    def __getitem__(self, rows: slice) -> npt.NDArray[Any]:
        """Return some rows; NaN where the master is masked.

        Raises
        ------
        FrameReadError
            If a file is no longer what it was.
        """
        return difference(self.reduced, self.scale, self.master, rows)


def residual_rows(home: Home, master_id: int) -> ResidualRows | None:
    """Return what is left of the first frame of a master, as the picture of its run shows it.

    None where it cannot be told any more, or only with much memory: the frame is gone or was changed, the bias that was
    taken off it was kept nowhere, or large images would have to be read whole.
    """
    try:
        return _residual_rows(home, master_id)
    except (ExpectedError, OSError):
        return None


def _residual_rows(home: Home, master_id: int) -> ResidualRows | None:
    with home.read_session() as session:
        run_id = session.get_one(MasterTable, master_id).run_id
        row = next(one for one in run_masters(session, run_id) if one.id == master_id)
        on_record = {one.path: one.file_sha256 for one in raw_inputs(session, run_id)}
    run = Run(home, run_id)
    used = [one for one in run.inputs.frames if one.excluded is None]
    if row.kind not in set(FrameType):
        return None
    master = _in_its_file(home.path / row.path)
    first = next((one.frame for one in used if one.frame.sha256 == master.inputs[0].sha256), None)
    if first is None or (_is_large(first) and stored_pixels(first.path) is None):
        return None
    bias, dark = None, None
    if row.kind != FrameType.BIAS:
        if (own := master_bias_for(run, [first])) is None:
            return None
        bias = _in_its_file(home.path / own.path)
        if row.kind == FrameType.FLAT:
            if _is_large(first) or (any(one.role == FrameType.DARK for one in used) and changed_input(home, run_id)):
                return None
            bias = read_master(home.path / own.path, mapped=True)
            dark = dark_of_flats(run, [first], bias).masters
    reduced = ReducedPixels.opened(first, bias, dark)
    rows = ResidualRows(reduced, master, scale_to(master, reduced))
    # Looked at last: what is read later is of the file that was opened, or an error.
    return rows if file_sha256(first.path) == on_record.get(first.path) else None


def _is_large(frame: SeriesFrame) -> bool:
    return frame.shape[0] * frame.shape[1] > _MOST_IN_MEMORY


def _in_its_file(path: Path) -> Master:
    """Return a master whose value and mask stay in its file."""
    planes = stored_planes(path, path.open("rb"))
    images: dict[str, Any] = {"value": planes[""], "mask": planes["MASK"]}
    images |= {"uncertainty": planes["UNCERT"], "n_used": planes["NCOMBINE"]}
    return replace(read_master(path, mapped=True), **images)
