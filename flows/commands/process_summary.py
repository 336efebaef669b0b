"""The results of `process` for a person."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ccdcore.text import number_of, one_line, uncertainty_text, unit_text, value_text
from flows.terminal import show, some, tell

_RESULTS = ("instrument", "night", "configuration", "amplifier", "gain", "read noise", "read noise ADU", "verdict")
_RESULTS_SHORT = ("instrument", "night", "configuration", "amplifier", "gain", "read noise", "verdict")
_MASTERS = ("kind", "filter", "exposure_s", "frames", "left_out", "verdict", "certified", "path")
_MASTERS_SHORT = ("night", "kind", "filter", "exposure", "frames", "left_out", "verdict", "certified")


def print_summary(
    results: Mapping[str, Any],
    *,
    nothing: str | None = None,
) -> None:
    """Print gain and read noise, masters, what was left out and what failed, and what the other frames are.

    ``nothing`` is what to say where there is no gain and no read noise, if not why.
    """
    rows = [
        {
            **row,
            "gain": _value(row["gain_e_per_adu"], row["gain_uncertainty"], "e/ADU"),
            "read noise": _value(row["read_noise_e"], row["read_noise_uncertainty"], "e"),
            "read noise ADU": _value(row["read_noise_adu"], row["read_noise_adu_uncertainty"], "ADU"),
        }
        for row in results["characterisations"]
    ]
    show(rows, format_name="table", columns=_RESULTS, short=_RESULTS_SHORT, empty=nothing or _why_nothing(results))
    tell([*_systematic(rows), *_notes(rows)])
    show(
        list(map(_master, results["masters"])),
        format_name="table",
        columns=_MASTERS,
        short=_MASTERS_SHORT,
        empty="no masters",
    )
    if results["masters"]:
        tell([f"masters are below {os.path.commonpath([Path(row['path']).parent for row in results['masters']])}"])
    tell(_odd_masters(results["masters"]))
    for what, title in (("excluded", "left out"), ("failed", "failed")):
        tell(f"{title}: {line}" for line in _by_reason(results[what]))
    if results["other"]:
        why = (f"{n} × {one_line(reason)}" for reason, n in results["other_reasons"].items())
        tell([f"{number_of(results['other'], 'other frame')} (science and the like): {'; '.join(why)}"])


def _master(row: Mapping[str, Any]) -> dict[str, Any]:
    exposure = None if row["exposure_s"] is None else f"{row['exposure_s']:.5g} s"
    return {**row, "exposure": exposure, "frames": row["n_combined"], "left_out": row["n_excluded"]}


def _systematic(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the ± of the table leaves out, of each night."""
    of_night: dict[str, list[str]] = {}
    for row in rows:
        if row["gain_systematic_uncertainty"]:
            value = uncertainty_text(row["gain_systematic_uncertainty"])
            of_night.setdefault(row["night"], []).append(f"{value} (amplifier {row['amplifier']})")
    unit = unit_text("e/ADU")
    return [
        f"{night}: ± is statistical; systematic uncertainty of the gain in {unit}: {', '.join(values)}"
        for night, values in of_night.items()
    ]


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is said of the measurements of each night, and of which amplifiers where it is not all of them."""
    amplifiers: dict[str, set[str]] = {}
    of: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        amplifiers.setdefault(row["night"], set()).add(row["amplifier"])
        for note in row["notes"]:
            of.setdefault((row["night"], note), []).append(row["amplifier"])
    lines = []
    for (night, note), those in of.items():
        which = "" if set(those) == amplifiers[night] else f", amplifier {', '.join(those)}"
        lines.append(f"{night}{which}: {note}")
    return lines


def _odd_masters(masters: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is odd about masters, and why some are not certified; what is not odd is in their table."""
    lines = []
    for one in masters:
        name = f"{one['night']}, master {' '.join(filter(None, [one['kind'], one['filter']]))}"
        if one["verdict"] != "ok" and one["remark"]:
            lines.append(f"{name} {one['verdict']}: {one_line(one['remark'])}")
        if not one["certified"] and one["verdict"] != "bad":
            lines.append(f"{name} not certified: {one_line(one['certified_reason'])}")
    return lines


def _why_nothing(results: Mapping[str, Any]) -> str:
    if results["excluded"] or results["failed"]:
        return "no gain and no read noise: the reasons are below"
    if results["other"]:
        return "no gain and no read noise: none of these is a calibration frame"
    return "no frames here: which names count is said by include in [watch] of ccdwatch.toml"


def _by_reason(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """Return what holds of several frames, or sets, alike in one line: ``7 frames: … (a.fits, b.fits and 5 more)``."""
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(row["reason"], []).append(one_line(Path(row["path"]).name))
    return [f"{_number_of(of)}: {one_line(reason)} ({some(of)})" for reason, of in names.items()]


def _number_of(names: Sequence[str]) -> str:
    return number_of(len(names), "frame" if any(Path(name).suffix for name in names) else "set")


def _value(value: float | None, uncertainty: float | None, unit: str) -> str | None:
    return None if value is None else f"{value_text(value, uncertainty)} {unit_text(unit)}"
