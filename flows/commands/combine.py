"""`combine`: a stack of files, by hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ccdcore.combining.combine import combine
from ccdcore.errors import InsufficientDataError
from ccdcore.frames.frame import Frame
from ccdcore.io.read import read_frame
from ccdcore.io.write import write_hdulist
from ccdcore.masters.file import master_hdulist
from ccdcore.reduction.master import MaskBit, Master, MasterInput
from flows.config.errors import SettingsError
from flows.config.settings import load_settings
from flows.terminal import progress_bar


def combine_files(home: Path, paths: Sequence[Path], output: Path, clip_sigma: tuple[float, float]) -> Master:
    """Combine files as they are, and write the result laid out like a master.

    Parameters
    ----------
    home : Path
        Whose instrument entries say what headers mean; it need not exist.
    paths : sequence of Path
        Frames of one shape; each is read once to verify its checksums and learn its identity, then combined.
    output : Path
        Where the result goes; it appears whole or not at all.
    clip_sigma : tuple of float
        Lower and upper clipping threshold.

    Raises
    ------
    SettingsError
        If there is something at ``output`` already, if only a link that leads nowhere, or it cannot be written.
    CcdError
        If a file cannot be read, or does not fit the others.
    """
    if os.path.lexists(output):
        raise SettingsError(f"{output}: is there already: give another -o FILE, or remove it first")
    instruments = load_settings(home).instruments
    with progress_bar() as progress:
        inputs: list[tuple[Frame, tuple[int, int]]] = []
        for number, path in enumerate(paths):
            progress("reading frames", number, len(paths))
            frame = read_frame(path, instruments=instruments)
            inputs.append((replace(frame, data=np.empty(0)), frame.shape))
            _require_same(inputs[0], inputs[-1])
        image = combine(
            paths, clip_sigma=clip_sigma, progress=lambda done: progress("combining", round(100 * done), 100)
        )
    frames = [frame for frame, _ in inputs]
    exposures = [frame.info.exposure_time_s for frame in frames if frame.info.exposure_time_s is not None]
    stack = Master(
        kind="stack",
        value=image.value.astype(np.float32),
        uncertainty=image.uncertainty,
        mask=np.where(image.n_used == 0, MaskBit.NO_DATA, 0).astype(np.uint8),
        n_used=image.n_used,
        unit=frames[0].unit,
        clip_sigma=clip_sigma,
        inputs=tuple(map(_input, frames, image.rejected_fraction)),
        exposure_range_s=(min(exposures), max(exposures)) if exposures else None,
    )
    try:
        write_hdulist(output, master_hdulist(stack))
    except OSError as error:
        raise SettingsError(f"{output}: cannot be written: {error.strerror}: give another -o FILE") from None
    return stack


def _require_same(first: tuple[Frame, tuple[int, int]], other: tuple[Frame, tuple[int, int]]) -> None:
    if first[1] != other[1]:
        raise InsufficientDataError(
            f"{other[0].path}: its shape is {other[1]}, that of {first[0].path} is {first[1]}: "
            "combine frames of one size"
        )


def _input(frame: Frame, rejected_fraction: float) -> MasterInput:
    return MasterInput(
        path=frame.path.absolute(),
        sha256=frame.sha256,
        date_obs=frame.info.date_obs,
        scale=1.0,
        level_adu=np.nan,
        rejected_fraction=rejected_fraction,
        exposure_time_s=frame.info.exposure_time_s,
    )
