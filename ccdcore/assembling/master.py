"""One master of those of all detectors of a mosaic: its images in a file, its other parts together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ccdcore.assembling.planes import Planes, header_bytes, table_bytes
from ccdcore.cards.sections import Detector
from ccdcore.frames.imstat import imstat
from ccdcore.masters.file import MeasuredAmplifier, master_hdulist
from ccdcore.reduction.master import MaskBit, Master, MasterInput

_TYPES = {"value": ">f4", "uncertainty": ">f4", "mask": "u1", "n_used": ">i2"}
_HALF = 2**15
"""FITS keeps whole numbers without a sign as those with one, less by this."""
_SAMPLE_PIXELS = 2**22
"""Of the good pixels of all detectors, for medians and scatters."""
_STATISTICS = ("npix", "min", "max", "mean", "median", "std", "mad")


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What is kept of the master of a detector: all but its images, and some of its good pixels."""

    master: Master
    n_good: int
    limits: tuple[float, float]
    mean: float
    sample: npt.NDArray[np.float32]

    @property
    def level(self) -> float:
        """Mean level of the light of its frames in ADU: what 1 of a flat stands for."""
        return fmean(1 / entry.scale for entry in self.master.inputs)


class MosaicMaster:
    """The master of a mosaic, filled detector by detector.

    Flats of detectors have a mean of 1 each; together they have it, and each the light that it had: what amplifiers
    and detectors answer to the same light stays in the response.

    Parameters
    ----------
    folder : Path
        Where there is room for a temporary file of its size.
    detectors : sequence of Detector
        All of them, side by side in this order.
    n_rows : int
        Rows of each.
    is_flat : bool
        Whether 1 is the neutral value, and light is to be compared.
    """

    def __init__(self, folder: Path, detectors: Sequence[Detector], n_rows: int, *, is_flat: bool) -> None:
        self._detectors, self._n_rows, self._is_flat = detectors, n_rows, is_flat
        neutral = {"value": float(is_flat), "uncertainty": 0.0, "mask": MaskBit.NO_DATA.value, "n_used": -_HALF}
        self._planes = Planes(folder, _TYPES, neutral)
        self._parts: dict[Detector, _Part] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(self._planes)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(self, detector: Detector, master: Master) -> None:
        """Take in the master of a detector, shape (rows, its columns)."""
        n_used = (master.n_used.astype(np.int32) - _HALF).astype(np.int16)
        images = {"value": master.value, "uncertainty": master.uncertainty, "mask": master.mask, "n_used": n_used}
        self._planes.add(detector, images)
        good = master.value[(master.mask == 0) & np.isfinite(master.value)]
        limits = (float(good.min()), float(good.max())) if good.size else (0.0, 0.0)
        step = max(1, good.size * len(self._detectors) // _SAMPLE_PIXELS)
        mean = float(good.mean(dtype=np.float64)) if good.size else 0.0
        nothing = np.empty((0, 0), np.float32)
        kept = replace(master, value=nothing, uncertainty=nothing, mask=nothing, n_used=nothing)
        self._parts[detector] = _Part(kept, good.size, limits, mean, good[::step].astype(np.float32))

    def mask(self, detector: Detector) -> None:
        """Let nobody use a detector, the values of which stay: its pixels are masked, and count for nothing."""
        self._planes.put_bits("mask", detector, MaskBit.NO_DATA.value)
        self._parts[detector] = replace(self._parts[detector], n_good=0)

    @property
    def whole(self) -> Master:
        """The master without its images: its inputs are those of all detectors, their numbers the means of theirs."""
        first = next(iter(self._parts.values())).master
        found: dict[str, list[MasterInput]] = {}
        for part in self._parts.values():
            for entry in part.master.inputs:
                found.setdefault(entry.sha256, []).append(entry)
        return replace(first, inputs=tuple(map(_together, found.values())))

    def statistics(self) -> dict[str, float]:
        """Return the numbers of the good pixels of all detectors; scatters and medians are those of some of them."""
        scales = self._scales()
        scaled = [(scales[detector], part) for detector, part in self._parts.items() if part.n_good]
        if not scaled:
            return imstat_of(np.empty(0, np.float32))
        found = imstat_of(np.concatenate([np.float32(scale) * part.sample for scale, part in scaled]))
        n = sum(part.n_good for _, part in scaled)
        mean = sum(part.n_good * scale * part.mean for scale, part in scaled) / n
        lowest, highest = (edge(scale * edge(part.limits) for scale, part in scaled) for edge in (min, max))
        return found | {"npix": float(n), "mean": mean, "min": lowest, "max": highest}

    def pieces(self, cards: Mapping[str, Any], measured: Sequence[MeasuredAmplifier]) -> Iterator[bytes]:
        """Yield the content of its file, which is as of `ccdcore.masters.file.master_hdulist`, but for checksums."""
        pixel = np.zeros((1, 1))
        hdus = master_hdulist(
            replace(self.whole, value=pixel, uncertainty=pixel, mask=pixel, n_used=pixel), cards, measured
        )
        hdus.update_extend()
        shape = self._n_rows, sum(one.n_columns for one in self._detectors)
        ones = dict.fromkeys(self._detectors, 1.0)
        scales = ones | self._scales()
        for unit, name in zip(hdus, _TYPES, strict=False):
            yield header_bytes(unit, shape)
            yield from self._planes.content(name, self._n_rows, scales if name in ("value", "uncertainty") else ones)
        for table in hdus[len(_TYPES) :]:
            yield table_bytes(table)

    def _scales(self) -> dict[Detector, float]:
        """Return what the values of each detector are multiplied by: its light over that of all."""
        levels = {one: part.level if self._is_flat else 1.0 for one, part in self._parts.items()}
        n = sum(part.n_good for part in self._parts.values())
        light = sum(self._parts[one].n_good * level for one, level in levels.items())
        return {one: level * n / light if n and self._is_flat else 1.0 for one, level in levels.items()}


def imstat_of(values: npt.NDArray[np.float32]) -> dict[str, float]:
    """Return the numbers that are told of the good pixels of a master, of shape (pixels,), in its unit."""
    table = imstat([values.reshape(1, -1)], names=["master"])
    return {name: float(table[name][0]) for name in _STATISTICS}


def _together(entries: Sequence[MasterInput]) -> MasterInput:
    """Return what was used of a frame in all of its detectors."""
    return replace(
        entries[0],
        scale=1 / fmean(1 / one.scale for one in entries),
        level_adu=fmean(one.level_adu for one in entries),
        rejected_fraction=fmean(one.rejected_fraction for one in entries),
        weight=fmean(one.weight for one in entries),
    )
