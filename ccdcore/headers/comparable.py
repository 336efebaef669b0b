"""What tells frames of one configuration apart that cannot be told of one frame alone: cameras and modes by numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ccdcore.cards.values import slug
from ccdcore.headers.identify import ExposureInfo

SAME, ALIKE = 0.005, 0.2
"""Relative differences of a gain or read noise: of one mode within a night, however it is rounded; and of one mode
whose numbers were put right some time, against those of another mode."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What a header says of the very camera and mode; None and what is missing say nothing.

    Parameters
    ----------
    serial : str or None
        As of `ExposureInfo`.
    gain_e_per_adu, read_noise_e : float or None
        What the header claims.
    """

    serial: str | None = None
    gain_e_per_adu: float | None = None
    read_noise_e: float | None = None

    @classmethod
    def of(cls, info: ExposureInfo) -> Sign:
        """Return that of a frame."""
        return cls(info.serial, info.header_gain_e_per_adu, info.header_read_noise_e)

    def contradicts(self, other: Sign, *, tolerance: float) -> bool:
        """Whether another camera or mode is meant, its numbers differing by more than this fraction of the larger."""
        ours, theirs = _numbers(self.serial), _numbers(other.serial)
        if any(ours[keyword] != theirs[keyword] for keyword in ours.keys() & theirs.keys()):
            return True
        pairs = ((self.gain_e_per_adu, other.gain_e_per_adu), (self.read_noise_e, other.read_noise_e))
        return any(abs(a - b) > tolerance * max(a, b) for a, b in pairs if a is not None and b is not None)

    def configuration(self, of_settings: str) -> str:
        """Name the configuration of these settings with this camera and mode: ``bin1x1_B-002_egain3.48_rn5.88``."""
        gain = [] if self.gain_e_per_adu is None else [f"egain{self.gain_e_per_adu:.4g}"]
        noise = [] if self.read_noise_e is None else [f"rn{self.read_noise_e:.4g}"]
        return slug("_".join([of_settings, *_numbers(self.serial).values(), *gain, *noise]))


def of_shape(configuration: str, shape: tuple[int, int]) -> str:
    """Name the configuration of frames of another shape, rows and columns, than those of its name: ``bin1x1_512x512``.

    Binning or a window that no card tells of.
    """
    return slug(f"{configuration}_{shape[1]}x{shape[0]}")


def partly_told(infos: Iterable[ExposureInfo]) -> str | None:
    """Say that serial numbers stand on some of the frames of a set only; None where they do on all or none."""
    serials = [info.serial for info in infos]
    told = sum(serial is not None for serial in serials)
    if not 0 < told < len(serials):
        return None
    example = next(serial for serial in serials if serial is not None)
    return f"{example} stands on {told} of {len(serials)} frames only: the others are taken to be of the same camera"


def _numbers(serial: str | None) -> dict[str, str]:
    return dict(one.split("=", 1) for one in serial.split(", ")) if serial else {}
