"""Pictures of a run, as PNG files in the home: what the report and the pages show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ccdcore.instrument import FrameType
from db.runs import MasterRow, MeasurementRow, get_run, run_masters, run_measurements
from db.sets import lately_done
from flows.home import HOST, Home, is_gone
from flows.inputs import inputs_of_run
from flows.naming import picture_path
from flows.reconcile import Plan

if TYPE_CHECKING:
    from ccdcore.photon_transfer import PhotonTransfer
    from ccdcore.report_page import Spectrum

_PICTURE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*\.png|\..+\.png\.[0-9a-f]{8}\.tmp")
"""Names of pictures (`flows.naming.picture_path`), and of those that are being written."""


def draw_pictures(home: Home, run_id: int) -> list[int]:
    """Draw what the report shows: one page of all, each master, histograms, variance against mean, noise spectrum."""
    from ccdcore.fits_io import read_image
    from ccdcore.master_check import residual
    from ccdcore.master_file import read_master
    from ccdcore.plots import frame_master_residual, histogram, png, variance_against_mean
    from ccdcore.report_page import Images, noise_spectrum, report_page
    from ccdcore.writing import write_bytes

    with home.reading() as session:
        run, measured = get_run(session, run_id), run_measurements(session, run_id)
        rows = run_masters(session, run_id)
        used = [one for one in inputs_of_run(session, run_id).frames if one.excluded is None]
    masters = [row for row in rows if row.kind != "mask"]
    read = {row.id: read_master(home.path / row.path) for row in masters}
    bias = next((read[row.id] for row in masters if row.kind == FrameType.BIAS), None)
    figures, images = {}, None
    for row in masters:
        master, title = read[row.id], _title(row)
        first = next(one.frame for one in used if one.frame.sha256 == master.inputs[0].sha256)
        left = residual(first, master, bias=None if row.kind == FrameType.BIAS else bias)
        frame = read_image(first.path)
        images = Images(title[0].lower() + title[1:], frame, master.value, left, master.unit)
        figures[f"{title} frames"] = frame_master_residual(frame, master.value, left, title=title, unit=master.unit)
        figures[f"{title} histogram"] = histogram(left, title=f"{title}: residual of the first frame", unit=master.unit)
    if transfers := [one for one in _transfers(measured) if one.curve]:
        figures["Photon transfer"] = variance_against_mean(transfers, title="Variance against mean")
    if spectra := _spectra(measured):
        figures["Noise spectrum"] = noise_spectrum(spectra, title="Noise spectrum along the rows")
    if measured:
        mask = next((read_image(home.path / row.path) for row in rows if row.kind == "mask"), None)
        figures["All on one page"] = report_page(
            title=f"{run.instrument} · {run.configuration} · {run.night}",
            table=_table(measured),
            images=images,
            transfers=transfers,
            spectra=spectra,
            mask=mask,
        )
    with _folder(home, run_id) as folder:
        for name, figure in figures.items():
            write_bytes(folder / picture_path(run_id=run_id, name=name).name, png(figure))
    return []


_COLUMNS = {
    "gain": "gain (e⁻/ADU)",
    "read_noise": "read noise (e⁻)",
    "overscan_read_noise": "overscan (e⁻)",
    "fixed_pattern_adu": "pattern (ADU)",
    "row_noise_adu": "rows (ADU)",
    "pickup_adu": "pick-up (ADU)",
    "bad_pixels": "bad pixels",
}
"""What the table of the page shows."""


def _table(measured: Sequence[MeasurementRow]) -> list[list[str]]:
    """Return the table of the page, without the columns for which there is no value."""
    of = {(row.amplifier, row.quantity): row for row in measured}
    shown = [quantity for quantity in _COLUMNS if any(name == quantity for _, name in of)]
    amplifiers = dict.fromkeys(row.amplifier for row in measured)
    return [
        ["amplifier", *(_COLUMNS[quantity] for quantity in shown)],
        *([amplifier, *(_value(of.get((amplifier, quantity))) for quantity in shown)] for amplifier in amplifiers),
    ]


def _value(row: MeasurementRow | None) -> str:
    if row is None:
        return "–"
    from ccdcore.plots import plus_minus

    return plus_minus(row.value, row.uncertainty)


def _spectra(measured: Sequence[MeasurementRow]) -> list[Spectrum]:
    """Bring back from the record what the picture of the noise spectrum shows."""
    from ccdcore.report_page import Spectrum

    return [
        Spectrum(
            row.amplifier,
            row.details["spectrum_adu2"],
            [(one["frequency"], one["rms_adu"]) for one in row.details["lines"] if one["axis"] == "columns"],
        )
        for row in measured
        if row.quantity == "pickup_adu"
    ]


def are_drawn(home: Home, run_id: int) -> bool:
    """Whether all pictures of a run are there, if only in that there are none."""
    return picture_folder(home, run_id).is_dir()


def without_pictures(home: Home, at: datetime) -> list[Plan]:
    """Return the runs of this machine that were made lately and killed before their pictures were drawn.

    Whoever removes older pictures does not get them back.
    """
    with home.reading() as session:
        done = [run for run in lately_done(session, since=at - timedelta(days=1)) if run.host == HOST]
        undrawn = [run for run in done if not are_drawn(home, run.id) and is_gone(run.pid, run.pid_started)]
        runs = [get_run(session, run.id) for run in undrawn]
    return [Plan(run.set_id, run.instrument, run.night, run.configuration, run.digest, run.attempt) for run in runs]


def picture_folder(home: Home, run_id: int) -> Path:
    """Return where the pictures of a run lie; the folder appears when all of them do."""
    return (home.path / picture_path(run_id=run_id, name="any")).parent


_ORDER = ("photon", "trend", "master", "noise")
"""What is looked at first: the first words of the names of pictures."""


def pictures_of(home: Home, run_id: int) -> list[Path]:
    """Return the pictures of a run, in the order to show them; no links, which may lead to anything."""

    def place(path: Path) -> tuple[int, str]:
        first = path.name.partition("-")[0].lower()
        return _ORDER.index(first) if first in _ORDER else len(_ORDER), path.name

    folder = picture_folder(home, run_id)
    found = [] if folder.is_symlink() else folder.glob("*.png")
    return sorted((path for path in found if path.is_file() and not path.is_symlink()), key=place)


@contextmanager
def _folder(home: Home, run_id: int) -> Iterator[Path]:
    """Give a folder to draw into, and put what is in it in its place at the end; nothing else there is touched."""
    home.require_there()
    place = picture_folder(home, run_id)
    temporary = place.with_name(f".{place.name}.tmp")
    temporary.mkdir(parents=True, exist_ok=True)
    if temporary.is_symlink() or place.is_symlink():
        raise NotADirectoryError(f"{place}: pictures are not drawn through a link: remove it")
    for half in temporary.iterdir():  # of a process that was killed
        if _PICTURE.fullmatch(half.name):
            half.unlink()
    yield temporary
    if place.exists():
        for picture in temporary.iterdir():
            picture.replace(place / picture.name)
        temporary.rmdir()
    else:
        temporary.rename(place)


def _title(row: MasterRow) -> str:
    return f"Master {row.kind}" + (f" {row.filter}" if row.filter else "")


def _transfers(measured: Sequence[MeasurementRow]) -> list[PhotonTransfer]:
    """Bring back from the record what the photon transfer picture shows."""
    from ccdcore.photon_transfer import PhotonTransfer, PhotonTransferPoint

    found = []
    for row in (row for row in measured if row.quantity == "gain"):
        same = {other.quantity: other for other in measured if other.amplifier == row.amplifier}
        noise, electrons, level = same["read_noise_adu"], same["read_noise"], same["bias_level"]
        a00 = same.get("a00")
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
                a00_per_e=None if a00 is None else a00.value,
                rejected=tuple(PhotonTransferPoint(*point) for point in row.details.get("rejected", ())),
                curve=tuple(PhotonTransferPoint(*point) for point in row.details["curve"]),
            )
        )
    return found
