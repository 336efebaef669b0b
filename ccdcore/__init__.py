"""Science of CCD calibration frames: photon transfer and combining, on arrays and frames."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccdcore.combining import combine
    from ccdcore.directory import inventory
    from ccdcore.fits_io import read_frame
    from ccdcore.image_table import imstat
    from ccdcore.masters import master_bias, master_dark, master_flat
    from ccdcore.photon_transfer import measure_gain

_HOMES = {
    "combine": "ccdcore.combining",
    "imstat": "ccdcore.image_table",
    "inventory": "ccdcore.directory",
    "master_bias": "ccdcore.masters",
    "master_dark": "ccdcore.masters",
    "master_flat": "ccdcore.masters",
    "measure_gain": "ccdcore.photon_transfer",
    "read_frame": "ccdcore.fits_io",
}

__all__ = [
    "combine",
    "imstat",
    "inventory",
    "master_bias",
    "master_dark",
    "master_flat",
    "measure_gain",
    "read_frame",
]


def __getattr__(name: str) -> Any:
    """Import a public function when it is first asked for: the light processes need none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ccdcore' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
