"""The results of `process` for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.tables import show

_RESULTS = ("instrument", "night", "configuration", "amplifier", "gain", "read noise", "read noise ADU", "verdict")
_MASTERS = ("kind", "filter", "frames", "left_out", "verdict", "path")


def print_summary(results: Mapping[str, Any]) -> None:
    """Print gain and read noise, masters, what was left out and what failed."""
    rows = [
        {
            **row,
            "gain": _value(row["gain_e_per_adu"], row["gain_uncertainty"], "e⁻/ADU"),
            "read noise": _value(row["read_noise_e"], row["read_noise_uncertainty"], "e⁻"),
            "read noise ADU": _value(row["read_noise_adu"], row["read_noise_adu_uncertainty"], "ADU"),
        }
        for row in results["characterisations"]
    ]
    show(rows, format_name="table", columns=_RESULTS, empty="no gain and no read noise: no set has the frames for it")
    masters = [{**row, "frames": row["n_combined"], "left_out": row["n_excluded"]} for row in results["masters"]]
    show(masters, format_name="table", columns=_MASTERS, empty="no masters")
    for what in ("excluded", "failed"):
        if results[what]:
            print(f"{what}:")  # noqa: T201 - the command line speaks here
            show(results[what], format_name="table", columns=("path", "reason"), empty="")
    if results["other"]:
        print(f"{results['other']} other frames (science and the like)")  # noqa: T201


def _value(value: float | None, uncertainty: float | None, unit: str) -> str | None:
    if value is None:
        return None
    return f"{value:.4f} ± {uncertainty:.4f} {unit}" if uncertainty is not None else f"{value:.4f} {unit}"
