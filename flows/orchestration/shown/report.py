"""What the Prefect UI shows of a run: its report, as Markdown with the pictures in it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from html import escape
from urllib.parse import quote, urlencode

from ccdcore.figures.style import thumbnail
from ccdcore.frames.frame import FrameStatistics
from ccdcore.headers.identify import ExposureInfo
from ccdcore.io.plain_files import open_below
from ccdcore.quantities import WATCHED, label_of, shown_in
from ccdcore.text import number_of, uncertainty_text, unit_text, value_text
from db.judgements.notes import JudgementLine, lines_of_run, notes_that_hold
from db.runs.inputs import UsedFrame, run_inputs
from db.runs.lacks import LackRow, run_lacks
from db.runs.masters import MasterRow, run_masters
from db.runs.measurements import MeasurementRow, by_amplifier, run_measurements
from db.runs.runs import RunRow, get_run
from flows.calibration.results import verdicts_of
from flows.home.home import Home
from flows.home.service_address import web_url
from flows.runs.lacks import FOR
from flows.runs.pictures import titled_pictures

_PUNCTUATION = re.compile(r"([!-%'-/:;=?@\[-`{-~])")
"""All of ASCII's but for & < >: a colon or a dot is enough for an address to become a link."""
MOST_ROWS = 100
NOTED_FOR = timedelta(days=30)
"""How long before a run what was noted of its instrument is told."""


def text(value: object) -> str:
    """Return a header value or path as harmless Markdown text: it shows as it is and does nothing."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    return escape(_PUNCTUATION.sub(r"\\\1", plain), quote=False)


def report(home: Home, run_id: int) -> str:
    """Return the report of a run: results, pictures, masters, series, and what was left out."""
    with home.read_session() as session:
        run, inputs = get_run(session, run_id), run_inputs(session, run_id)
        measured, masters = run_measurements(session, run_id), run_masters(session, run_id)
        verdicts = verdicts_of(session, run_id)
        lacks = run_lacks(session, run_id)
        said = [one for one in lines_of_run(session, run_id) if not (one.takes_back or one.taken_back)]
        notes = notes_that_hold(session, run.instrument, since=run.began_at - NOTED_FOR)
    sections = [
        f"# {text(run.instrument)} · {run.night} · {text(run.configuration)}",
        _not_made(lacks),
        _results(measured, verdicts),
        *_pictures(home, run_id, web_url(home.settings)),
        _masters(home, masters),
        _left_out(inputs, lacks),
        _said([*said, *notes]),
        _series(inputs),
        _links(home, run, measured),
        f"Run {run.id}, attempt {run.attempt}, digest `{run.digest[:12]}`.",
    ]
    return "\n\n".join(section for section in sections if section)


def summary(home: Home, run_id: int) -> list[str]:
    """Return what a run measured and made, a line each, for its log."""
    with home.read_session() as session:
        measured, masters = run_measurements(session, run_id), run_masters(session, run_id)
    values = [f"amplifier {row.amplifier}: {row.quantity} {_value(row)} {row.unit}".rstrip() for row in measured]
    return values + [f"master {row.kind} of {row.n_combined}: {row.path}" for row in masters]


def _links(home: Home, run: RunRow, measured: Sequence[MeasurementRow]) -> str:
    """Return where the pages show this run and the trends that it adds to; nothing where no pages are known."""
    pages = web_url(home.settings)
    if pages is None:
        return ""
    trends = [
        f"[trend of the {label_of(name)}]({pages}/trends/{name}?{urlencode({'instrument': run.instrument})})"
        for name in WATCHED
        if any(row.quantity == name for row in measured)
    ]
    return " · ".join([f"[This run with its provenance]({pages}/runs/{run.id})", *trends])


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _value(row: MeasurementRow | None) -> str:
    return "–" if row is None else value_text(row.value, row.uncertainty)


def _results(measured: Sequence[MeasurementRow], verdicts: Mapping[str, str]) -> str:
    if not measured:
        return "No gain and no read noise: see the frames left out."
    columns = shown_in("report")
    rows: list[list[str]] = []
    ways: dict[str, str] = {}
    for amplifier, of in by_amplifier(measured).items():
        if "read_noise_adu" not in of:
            continue
        values = (_value(of.get(one.name)) for one in columns)
        rows.append([text(amplifier), *values, f"**{verdicts[amplifier]}**"])
        any_of = next(iter(of.values()))
        why = any_of.details.get("reason")
        ways[amplifier] = f"method {any_of.method}, {_counts(any_of.details)}" + (f" ({why})" if why else "")
    header = ["amplifier", *(one.title for one in columns), "verdict"]
    alike = len(set(ways.values())) == 1
    remarks = [way if alike else f"amplifier {amplifier}: {way}" for amplifier, way in ways.items()]
    bad = [f"{row.value:.0f} of amplifier {row.amplifier}" for row in measured if row.quantity == "bad_pixels"]
    remarks += [f"bad pixels: {', '.join(bad)}"] if bad else []
    remarks += _systematic(measured)
    remarks += [note for row in measured for note in row.details["notes"]]
    lines = "\n".join(f"* {text(remark)}" for remark in dict.fromkeys(remarks))
    return "\n\n".join(["## Gain and read noise", _table(header, rows), lines])


def _systematic(measured: Sequence[MeasurementRow]) -> list[str]:
    """Return what the ± of the table leaves out."""
    gains = [row for row in measured if row.quantity == "gain"]
    known = [(row, one) for row in gains if (one := row.details.get("systematic_uncertainty"))]
    values = [f"{uncertainty_text(one)} {unit_text(row.unit)} ({row.amplifier})" for row, one in known]
    return [f"± is statistical; systematic uncertainty of the gain: {', '.join(values)}"] if values else []


def _counts(details: Mapping[str, int]) -> str:
    pairs = number_of(details["n_flat_pairs"], "pair")
    return f"{details['n_bias']} biases, {details['n_flat']} flats in {pairs}"


def _pictures(home: Home, run_id: int, pages: str | None) -> list[str]:
    """Return the pictures, small, so that they are seen where no pages run; each leads to the whole one on the pages.

    The pages let no other site show what is theirs.
    """
    pictures = []
    for title, path in titled_pictures(home, run_id):
        name = text(title)
        with open_below(home.path, path.relative_to(home.path)) as picture:
            small = thumbnail(picture.read())
        shown = f"![{name}](data:image/png;base64,{base64.b64encode(small).decode()})" if small else "cannot be read"
        if small and pages:
            shown = f"[{shown}]({pages}/runs/{run_id}/pictures/{quote(path.name)})"
        pictures.append(f"### {name}\n\n{shown}")
    return pictures


def _masters(home: Home, masters: Sequence[MasterRow]) -> str:
    if not masters:
        return ""
    header = ["master", "frames", "left out", "mean", "median", "std", "mad", "unit", "verdict", "certified"]
    rows = [
        [
            text(row.product.removeprefix("master ")),
            str(row.n_combined),
            str(row.n_excluded),
            *(
                "–" if row.kind == "mask" else f"{row.statistics[name]:.4g}"
                for name in ("mean", "median", "std", "mad")
            ),
            row.unit or "–",
            f"**{row.verdict}**",
            "–" if row.kind == "mask" else "yes" if row.certified else "**no**",
        ]
        for row in masters
    ]
    remarks = [f"* {text(row.product.removeprefix('master '))}: {text(row.remark)}" for row in masters if row.remark]
    remarks += [
        f"* {text(row.product.removeprefix('master '))} {'' if row.certified else 'not '}certified: "
        f"{text(row.certified_reason)}"
        for row in masters
        if row.certified_reason
    ]
    files = [f"* {text(home.path / row.path)}" for row in masters]
    return "\n\n".join(["## Masters", _table(header, rows), "\n".join(remarks + files)])


def _not_made(lacks: Sequence[LackRow]) -> str:
    """Return what there is not, and why: first of all what failed."""
    ordered = sorted(lacks, key=lambda one: not one.is_failure)
    rows = [[text(one.product), "**failed**" if one.is_failure else "not made", text(one.reason)] for one in ordered]
    return "## Not made\n\n" + _table(["product", "", "reason"], rows[:MOST_ROWS]) if rows else ""


def _left_out(inputs: Sequence[UsedFrame], lacks: Sequence[LackRow]) -> str:
    """Return the frames left out of all, or of a product that was made of others."""
    told = {f"{FOR}{lack.product}" for lack in lacks}
    rows = [
        [text(one.frame.path.name), text(one.role), text(one.excluded)]
        for one in inputs
        if one.excluded and one.role not in told
    ]
    if not rows:
        return ""
    return "\n\n".join(["## Left out", _table(["file", "as", "reason"], rows[:MOST_ROWS]), more(len(rows))])


def _said(lines: Sequence[JudgementLine]) -> str:
    """Return the marks of what the run used and made, and the notes on its instrument."""
    rows = [
        [text(one.of), one.said, f"{one.at or one.said_at:%Y-%m-%d %H:%M}", text(one.who), text(one.words)]
        for one in lines
    ]
    if not rows:
        return ""
    header = ["of", "", "UTC", "by", "words"]
    return "\n\n".join(["## What people said", _table(header, rows[:MOST_ROWS]), more(len(rows))])


def _series(inputs: Sequence[UsedFrame]) -> str:
    """Return two narrow tables: what each frame is, and its statistics."""
    frames = [one for one in inputs if not one.role.startswith("for ")]
    taken = [[text(one.frame.path.name), _role(one), *_exposure(one.frame.info)] for one in frames]
    counted = [[text(one.frame.path.name), *_statistics(of)] for one in frames for of in one.frame.statistics]
    return "\n\n".join(
        [
            "## Series",
            _table(["file", "type", "UTC", "exposure (s)"], taken[:MOST_ROWS]),
            more(len(taken)),
            "### Statistics (ADU)",
            _table(["file", "amplifier", "min", "max", "median", "level", "noise"], counted[:MOST_ROWS]),
            more(len(counted)),
        ]
    )


def _role(one: UsedFrame) -> str:
    return one.role + (" (borrowed)" if one.borrowed else "") + (" (left out)" if one.excluded else "")


def _exposure(info: ExposureInfo) -> list[str]:
    when = f"{info.date_obs:%Y-%m-%d %H:%M:%S}" if info.date_obs else "–"
    return [when, "–" if info.exposure_time_s is None else f"{info.exposure_time_s:g}"]


def _statistics(of: FrameStatistics) -> list[str]:
    numbers = f"{of.minimum:.0f} {of.maximum:.0f} {of.median:.1f} {of.level:.1f} {of.noise:.2f}"
    return [text(of.amplifier), *numbers.split()]


def more(n_rows: int) -> str:
    """Return how many rows there are that a table does not show; nothing where it shows all."""
    return f"… and {n_rows - MOST_ROWS} more rows" if n_rows > MOST_ROWS else ""
