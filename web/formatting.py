"""How values, units and times are written for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from ccdcore.quantities import label_of
from ccdcore.text import name_in_words, unit_text, value_text
from db.trends.changes import TrendChange
from db.trends.notices import NoticeOnRecord

_DETAILS = {
    "n_bias": "biases",
    "n_flat": "flats",
    "n_flat_pairs": "pairs of flats",
    "n_pixels": "pixels",
    "chi2_per_dof": "χ² per degree of freedom",
}


def detail(name: str, of: str) -> str:
    """Return the name of a detail of a measurement with its unit; uncertainties have that of the measurement (`of`)."""
    if name.endswith("uncertainty"):
        return f"{name.replace('_', ' ')} ({unit_text(of)})"
    if name.endswith("_adu"):
        return f"{name_in_words(name)} (ADU)"
    return _DETAILS.get(name, name.replace("_", " "))


def when(time: datetime | date | str | None) -> str:
    """Write a time in UTC to the minute, a date as it is."""
    if isinstance(time, str):
        time = datetime.fromisoformat(time) if "T" in time else date.fromisoformat(time)
    if time is None:
        return "–"
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}" if isinstance(time, datetime) else time.isoformat()


def moment(time: datetime | str | None) -> str:
    """Write a time in UTC to the second."""
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    return "–" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def limits(low: float | None, high: float | None) -> str:
    """Write limits as a span."""
    if low is None and high is None:
        return "none"
    if low is None:
        return f"≤ {high:g}"
    return f"≥ {low:g}" if high is None else f"{low:g} – {high:g}"


def sentence(notice: NoticeOnRecord) -> str:
    """Return a notice in words."""
    of = f"{label_of(notice.quantity)} of amplifier {notice.amplifier}" + (
        f", {notice.filter}" if notice.filter else ""
    )
    since, unit = f"{notice.since:%Y-%m-%d}", unit_text(notice.unit)
    if notice.kind in {"outside", "inside"}:
        where = "inside its limits again" if notice.kind == "inside" else "outside its limits"
        admitted = limits(notice.details["limit_min"], notice.details["limit_max"])
        said = f"{of} is {where} ({admitted}): {value_text(notice.after)} {unit} on {since}"
        change = notice.details.get("change")
        return f"{said}; it {_changed(change['kind'], change['since'][:10], change, unit)}." if change else f"{said}."
    levels = {"before": notice.before, "after": notice.after, **notice.details}
    return f"{of} {_changed(notice.kind, since, levels, unit)}."


def _changed(kind: str, since: str, change: Mapping[str, Any], unit: str) -> str:
    """Return a change of a level in words: what, since when, how large, and what else changed about then."""
    what = {"step": "stepped", "drift": "drifts", "back": "is back where it was before"}[kind]
    levels = f"{value_text(change['before'])} → {value_text(change['after'])} {unit}"
    return f"{what} since {since}: {_size(change)}, {levels}{_with(change)}"


def change_sentence(change: TrendChange) -> str:
    """Return a step or a drift in words: of what, since when, how large, and by how many σ."""
    whose = ", ".join(filter(None, [f"amplifier {change.amplifier}", change.filter, change.configuration]))
    by, unit = change.after - change.before, unit_text(change.unit)
    relative = [f"{100 * by / abs(change.before):+.1f} %"] if change.before else []
    relative += [f"{abs(by) / change.uncertainty:.0f} σ"] if change.uncertainty else []
    size = f"{value_text(by, change.uncertainty, is_change=True)} {unit} ({', '.join(relative)})"
    levels = f"{value_text(change.before)} → {value_text(change.after)}"
    about = {"temperature_change_c": change.temperature_change_c, "is_new_entry": change.is_new_entry}
    of = f"{label_of(change.quantity)} of {change.instrument}, {whose}"
    return f"{change.kind} since {change.since:%Y-%m-%d}: {of}: {levels}, {size}{_with(about)}"


def _size(change: Mapping[str, Any]) -> str:
    before, error = change["before"] or 0.0, change["uncertainty"]
    size = change["after"] - before
    if before == 0.0:
        return value_text(size, error, is_change=True)
    percent = 100 / abs(before)
    return f"{value_text(percent * size, percent * error, is_change=True)} %"


def _with(details: Mapping[str, Any]) -> str:
    """Return what else changed about then."""
    warmer = details["temperature_change_c"]
    about = [f"detector {warmer:+.1f} K"] if warmer is not None and abs(warmer) >= 0.5 else []
    about += ["a new version of the instrument's entry"] if details["is_new_entry"] else []
    return f" (at that time: {', '.join(about)})" if about else ""
