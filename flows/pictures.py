"""Pictures of a run, as PNG files in the home: what the report and the pages show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ccdcore.instrument import FrameType
from db.runs import MasterRow, MeasurementRow, run_masters, run_measurements
from flows.home import Home
from flows.inputs import inputs_of_run
from flows.naming import picture_path

if TYPE_CHECKING:
    from ccdcore.photon_transfer import PhotonTransfer


def draw_pictures(home: Home, run_id: int) -> list[int]:
    """Draw what the report shows: each master beside a frame and its residual, histograms, variance against mean."""
    from ccdcore.fits_io import read_image, write_bytes
    from ccdcore.master_check import residual
    from ccdcore.master_file import read_master
    from ccdcore.plots import frame_master_residual, histogram, png, variance_against_mean

    with home.reading() as session:
        measured = run_measurements(session, run_id)
        masters = [row for row in run_masters(session, run_id) if row.kind != "mask"]
        used = [one for one in inputs_of_run(session, run_id).frames if one.excluded is None]
    read = {row.id: read_master(home.path / row.path) for row in masters}
    bias = next((read[row.id] for row in masters if row.kind == FrameType.BIAS), None)
    figures = {}
    for row in masters:
        master, title = read[row.id], _title(row)
        first = next(one.frame for one in used if one.frame.sha256 == master.inputs[0].sha256)
        left = residual(first, master, bias=None if row.kind == FrameType.BIAS else bias)
        figures[f"{title} frames"] = frame_master_residual(
            read_image(first.path), master.value, left, title=title, unit=master.unit
        )
        figures[f"{title} histogram"] = histogram(left, title=f"{title}: residual of the first frame", unit=master.unit)
    if transfers := [one for one in _transfers(measured) if one.curve]:
        figures["photon transfer"] = variance_against_mean(transfers, title="Variance against mean")
    for name, figure in figures.items():
        write_bytes(home.path / picture_path(run_id=run_id, name=name), png(figure))
    return []


def _title(row: MasterRow) -> str:
    return f"Master {row.kind}" + (f" {row.filter}" if row.filter else "")


def _transfers(measured: Sequence[MeasurementRow]) -> list[PhotonTransfer]:
    """Bring back from the record what the photon transfer picture shows."""
    from ccdcore.photon_transfer import PhotonTransfer, PhotonTransferPoint

    found = []
    for row in (row for row in measured if row.quantity == "gain"):
        same = {other.quantity: other for other in measured if other.amplifier == row.amplifier}
        noise, electrons, level = same["read_noise_adu"], same["read_noise"], same["bias_level"]
        found.append(
            PhotonTransfer(
                amplifier=row.amplifier,
                method=row.method,
                gain_e_per_adu=row.value,
                gain_uncertainty=row.uncertainty,
                read_noise_adu=noise.value,
                read_noise_adu_uncertainty=noise.uncertainty or 0.0,
                read_noise_e=electrons.value,
                read_noise_uncertainty=electrons.uncertainty,
                bias_level_adu=level.value,
                level_range_adu=row.details["level_range_adu"],
                n_bias=row.details["n_bias"],
                n_flat=row.details["n_flat"],
                n_flat_pairs=row.details["n_flat_pairs"],
                n_pixels=row.details["n_pixels"],
                chi2_per_dof=row.details["chi2_per_dof"],
                curve=tuple(PhotonTransferPoint(*point) for point in row.details["curve"]),
            )
        )
    return found
