"""The notebook's first cell: what lies in a directory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy import units
from astropy.table import QTable

from ccdcore.compression import FITS_NAME
from ccdcore.errors import FrameReadError
from ccdcore.headers.instrument import Instrument
from ccdcore.io.read import read_header

_INVENTORY = {
    "file": str,
    "type": str,
    "why": str,
    "instrument": str,
    "configuration": str,
    "date_obs": str,
    "exposure_time": float,
    "filter": str,
    "temperature": float,
    "rows": int,
    "columns": int,
}


def inventory(directory: str | os.PathLike[str], *, instruments: Sequence[Instrument] = ()) -> QTable:
    """List the frames of a directory: what each is, and why it was taken so.

    Only headers are read. A file that cannot be read has the type
    ``unreadable`` and the reason.

    Parameters
    ----------
    directory : path-like
        Files directly in it whose names match `ccdcore.compression.FITS_NAME`.
    instruments : sequence of Instrument
        Entries of the configuration.

    Returns
    -------
    astropy.table.QTable
        Sorted by file name: file, type, why, instrument, configuration,
        date_obs (ISO 8601 in UTC), exposure_time (s), filter, temperature
        (°C), rows, columns; texts empty, quantities NaN and sizes 0 where unknown.
    """
    paths = sorted(path for path in Path(directory).iterdir() if FITS_NAME.fullmatch(path.name))
    return QTable(
        rows=[_inventory_row(path, instruments) for path in paths],
        names=list(_INVENTORY),
        dtype=list(_INVENTORY.values()),
        units={"exposure_time": units.s, "temperature": units.deg_C},
    )


def _inventory_row(path: Path, instruments: Sequence[Instrument]) -> tuple[object, ...]:
    try:
        header = read_header(path, instruments=instruments)
    except FrameReadError as error:
        return (path.name, "unreadable", error.reason, "", "", "", np.nan, "", np.nan, 0, 0)
    info = header.info
    return (
        path.name,
        str(info.frame_type),
        info.frame_type_reason,
        info.instrument,
        info.configuration,
        info.date_obs.replace(tzinfo=None).isoformat(timespec="milliseconds") if info.date_obs else "",
        np.nan if info.exposure_time_s is None else info.exposure_time_s,
        info.filter or "",
        np.nan if info.ccd_temperature_c is None else info.ccd_temperature_c,
        *header.shape,
    )
