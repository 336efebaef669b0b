"""The results of `process` for a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ccdcore.text import number_of, one_line, unit_text, value_text
from flows.terminal import show

_RESULTS = ("instrument", "night", "configuration", "amplifier", "gain", "read noise", "read noise ADU", "verdict")
_RESULTS_SHORT = ("instrument", "night", "configuration", "amplifier", "gain", "read noise", "verdict")
_MASTERS = ("kind", "filter", "exposure_s", "frames", "left_out", "verdict", "certified", "path")
_MOST_NAMES = 3


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
    _lines(_notes(rows))
    masters = [{**row, "frames": row["n_combined"], "left_out": row["n_excluded"]} for row in results["masters"]]
    show(masters, format_name="table", columns=_MASTERS, empty="no masters")
    _lines(_odd_masters(results["masters"]))
    for what, title in (("excluded", "left out"), ("failed", "failed")):
        if results[what]:
            _lines([f"{title}:"])
            show(_by_reason(results[what]), format_name="table", columns=("n", "reason", "files"), empty="")
    if results["other"]:
        why = (f"{n} × {one_line(reason)}" for reason, n in results["other_reasons"].items())
        _lines([f"{number_of(results['other'], 'other frame')} (science and the like): {'; '.join(why)}"])


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is said of the measurements of each night, and of which amplifiers where it is not all of them."""
    amplifiers: dict[str, set[str]] = {}
    of: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        amplifiers.setdefault(row["night"], set()).add(row["amplifier"])
        for note in row["notes"]:
            of.setdefault((row["night"], note), []).append(row["amplifier"])
    lines = []
    for (night, note), some in of.items():
        which = "" if set(some) == amplifiers[night] else f", amplifier {', '.join(some)}"
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


def _by_reason(rows: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(row["reason"], []).append(one_line(Path(row["path"]).name))
    return [{"n": len(of), "reason": one_line(reason), "files": _some(of)} for reason, of in names.items()]


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)  # noqa: T201 - the command line speaks here


def _value(value: float | None, uncertainty: float | None, unit: str) -> str | None:
    return None if value is None else f"{value_text(value, uncertainty)} {unit_text(unit)}"
