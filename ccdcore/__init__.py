"""Science of CCD calibration frames: photon transfer and combining, on arrays and frames."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ccdcore.combining.combine import combine
    from ccdcore.frames.imstat import imstat
    from ccdcore.io.inventory import inventory
    from ccdcore.io.read import read_frame
    from ccdcore.masters.build import master_bias, master_dark, master_flat
    from ccdcore.photon_transfer.measure import measure_gain

_HOMES = {
    "combine": "ccdcore.combining.combine",
    "imstat": "ccdcore.frames.imstat",
    "inventory": "ccdcore.io.inventory",
    "master_bias": "ccdcore.masters.build",
    "master_dark": "ccdcore.masters.build",
    "master_flat": "ccdcore.masters.build",
    "measure_gain": "ccdcore.photon_transfer.measure",
    "read_frame": "ccdcore.io.read",
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
