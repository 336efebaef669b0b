"""Pictures of a run, as PNG files in the home: what the report and the pages show."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ccdcore.consistency.residuals import residual
from ccdcore.figures.images import frame_master_residual, histogram
from ccdcore.figures.report_page import Images, Spectrum, noise_spectrum, report_page
from ccdcore.figures.style import png
from ccdcore.figures.transfer_curve import variance_against_mean
from ccdcore.headers.instrument import FrameType
from ccdcore.io.read import read_image
from ccdcore.io.stored_pixels import stored_planes
from ccdcore.io.write import write_bytes
from ccdcore.masters.file import read_master
from ccdcore.mosaics.detectors import detectors_of, image_of, is_large, of_detector
from ccdcore.photon_transfer.measure import PhotonTransfer, PhotonTransferPoint
from ccdcore.quantities import shown_in
from ccdcore.text import value_text
from db.runs.masters import MasterRow, run_masters
from db.runs.measurements import MeasurementRow, by_amplifier
from flows.home.home import Home
from flows.home.output_paths import picture_path
from flows.masters.dark_of_flats import dark_of_flats
from flows.products.ingredients import bias_for
from flows.runs.lacks import producing
from flows.runs.pictures import folder_to_draw_in, titles_of_master
from flows.runs.run import Run
from flows.runs.verification import require_unchanged

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.figure import Figure

    from ccdcore.frames.frame import SeriesFrame

_SHOWN_PIXELS = 2**22
"""Of a large mosaic so many are looked at."""


def draw_pictures(run: Run) -> list[int]:
    """Draw what the report shows: one page of all, each master, histograms, variance against mean, noise spectrum.

    Each picture is drawn on its own: one that fails costs no other.
    """
    if not run.is_drawn:
        return []
    measured, of = run.measured, run.row
    with run.home.read_session() as session:
        rows = run_masters(session, run.id)
    with folder_to_draw_in(run.home, run.id) as folder:

        def draw(name: str, figure: Callable[[], Figure]) -> None:
            _draw(run, folder, name, figure)

        images = _draw_masters(run, [row for row in rows if row.kind not in {"mask", "darkrate"}], draw)
        if transfers := [one for one in _transfers(measured) if one.curve]:
            draw("Photon transfer", lambda: variance_against_mean(transfers, title="Variance against mean"))
        if spectra := _spectra(measured):
            draw("Noise spectrum", lambda: noise_spectrum(spectra, title="Noise spectrum along the rows"))
        if measured:
            draw(
                "All on one page",
                lambda: report_page(
                    title=f"{of.instrument} · {of.configuration} · {of.night}",
                    table=_table(measured),
                    images=images,
                    transfers=transfers,
                    spectra=spectra,
                    mask=_mask(run.home, rows),
                ),
            )
    return []


def _draw(run: Run, folder: Path, name: str, figure: Callable[[], Figure]) -> None:
    with producing(run, f"picture {name}"):
        write_bytes(folder / picture_path(run_id=run.id, name=name).name, png(figure()))


def _draw_masters(
    run: Run, rows: Sequence[MasterRow], draw: Callable[[str, Callable[[], Figure]], None]
) -> Images | None:
    """Draw each master beside its first frame, one in memory at a time; return the last for the page of all."""
    last = None
    for row in rows:
        title = _title(row)
        with producing(run, f"pictures of the {title[0].lower()}{title[1:]}"):
            last = None  # given away before the next are read
            last = _images(run, row)
            three = partial(frame_master_residual, last.frame, last.master, last.residual)
            beside, left = titles_of_master(row.product)
            draw(beside, partial(three, title=title, unit=last.unit))
            what = f"{title}: residual of the first frame"
            draw(left, partial(histogram, last.residual, title=what, unit=last.unit))
            del three
    return last


def _images(run: Run, row: MasterRow) -> Images:
    """Return the first frame of a master, the master, and what is left of the frame."""
    used = [one for one in run.inputs.frames if one.excluded is None]
    master, title = read_master(run.home.path / row.path, mapped=True), _title(row)
    first = next(one.frame for one in used if one.frame.sha256 == master.inputs[0].sha256)
    name = title[0].lower() + title[1:]
    if detectors := detectors_of([first]):
        parts = [_thinned(run, row, of_detector(first, one), _step(first.shape)) for one in detectors]
        require_unchanged(run)
        pixels, value, left = (np.hstack(images) for images in zip(*parts, strict=True))
        return Images(name, pixels, value, left, master.unit)
    bias = None if row.kind == FrameType.BIAS else bias_for(run, row.kind, [first])
    dark = dark_of_flats(run, [first], bias).masters if bias and row.kind == FrameType.FLAT else None
    left, pixels = residual(first, master, bias=bias, dark=dark), read_image(first.path)
    require_unchanged(run)  # nothing is shown that is not on record
    return Images(name, pixels, master.value, left, master.unit)


def _thinned(run: Run, row: MasterRow, first: SeriesFrame, step: int) -> tuple[npt.NDArray[Any], ...]:
    """Return some rows and columns of what a detector of a large mosaic shows: frame, master, residual."""
    master, some = read_master(run.home.path / row.path, detector=first.detector), slice(None, None, step)
    bias = None if row.kind == FrameType.BIAS else bias_for(run, row.kind, [first])
    dark = dark_of_flats(run, [first], bias).masters if bias and row.kind == FrameType.FLAT else None
    left = residual(first, master, bias=bias, dark=dark)
    # Copied: a view of some pixels would keep all of them, of every detector.
    return tuple(image[some, some].copy() for image in (image_of(first), master.value, left))


def _step(shape: tuple[int, int]) -> int:
    """Return which rows and columns, every so many, of a large image to look at."""
    return math.ceil(math.sqrt(math.prod(shape) / _SHOWN_PIXELS)) if is_large(shape) else 1


def _mask(home: Home, rows: Sequence[MasterRow]) -> npt.NDArray[Any] | None:
    path = next((home.path / row.path for row in rows if row.kind == "mask"), None)
    if path is None:
        return None
    stored = stored_planes(path, path.open("rb"))[""]
    step = _step(stored.shape)
    return read_image(path) if step == 1 else stored[::step][:, ::step]


def _table(measured: Sequence[MeasurementRow]) -> list[list[str]]:
    """Return the table of the page, without the columns for which there is no value."""
    amplifiers = by_amplifier(measured)
    shown = [one for one in shown_in("page") if any(one.name in of for of in amplifiers.values())]
    return [
        ["amplifier", *(one.title for one in shown)],
        *([amplifier, *(_value(of.get(one.name)) for one in shown)] for amplifier, of in amplifiers.items()),
    ]


def _value(row: MeasurementRow | None) -> str:
    return "–" if row is None else value_text(row.value, row.uncertainty)


def _spectra(measured: Sequence[MeasurementRow]) -> list[Spectrum]:
    """Bring back from the record what the picture of the noise spectrum shows."""
    return [
        Spectrum(
            row.amplifier,
            row.details["spectrum_adu2"],
            [(one["frequency"], one["rms_adu"]) for one in row.details["lines"] if one["axis"] == "columns"],
        )
        for row in measured
        if row.quantity == "pickup_adu"
    ]


def _title(row: MasterRow) -> str:
    return f"{row.product[0].upper()}{row.product[1:]}"


def _transfers(measured: Sequence[MeasurementRow]) -> list[PhotonTransfer]:
    """Bring back from the record what the photon transfer picture shows."""
    found = []
    for same in by_amplifier(measured).values():
        if (row := same.get("gain")) is None:
            continue
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
