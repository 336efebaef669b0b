"""What is attached to a flow run: its report, tables of results and of what was left out, links to the pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from ccdcore.quantities import label_of
from ccdcore.text import unit_text, value_text
from db.frames.listing import list_frames
from db.runs.inputs import UsedFrame
from db.runs.masters import MasterRow
from db.runs.runs import RunRow, get_run
from flows.home.home import Home
from flows.home.service_address import web_url
from flows.orchestration.shown.findings import OnRecord
from flows.orchestration.shown.report import MOST_ROWS, more, report, text
from flows.runs.lacks import FOR


def publish(home: Home, run_id: int) -> None:
    """Attach to the flow run that is under way all that is shown of a run."""
    with home.read_session() as session:
        run = get_run(session, run_id)
    found, about = OnRecord.of(home, run_id), text(f"{run.instrument} {run.night}")
    create_markdown_artifact(report(home, run_id), key=key_of("report", run), description=about)
    tables = {"results": results(found), "left out": left_out(found.inputs)}
    for name, rows in tables.items():
        if rows:
            create_table_artifact(rows, key=key_of(name, run), description=f"{name}: {about}")
    pages = web_url(home.settings)
    if pages is None:
        return
    link, words = f"{pages}/runs/{run_id}", text(f"run {run_id} on the pages")
    create_link_artifact(link, words, key=key_of("pages", run), description=about)
    for row in found.masters:
        name = text(f"{row.product} on the pages")
        create_link_artifact(f"{pages}/masters/{row.id}", name, key=key_of(_plain(row), run), description=about)


def key_of(what: str, run: RunRow) -> str:
    """Return the key of an artifact: the same for all runs of a camera in a configuration, so that they make a row."""
    return re.sub(r"[^a-z0-9]+", "-", f"{what} {run.instrument} {run.configuration}".lower()).strip("-")


def _plain(row: MasterRow) -> str:
    return row.product if row.product.startswith("master") else f"master {row.product}"


def results(found: OnRecord) -> list[dict[str, str]]:
    """Return what was measured and made, a row each, as text: numbers of every kind survive the way to the UI."""
    measured = [
        [
            f"{label_of(row.quantity)} of amplifier {row.amplifier}",
            value_text(row.value, row.uncertainty),
            unit_text(row.unit),
            found.verdicts.get(row.amplifier, ""),
        ]
        for row in found.measured
    ]
    made = [[row.product, str(row.n_combined), "frames", row.verdict] for row in found.masters]
    return _rows(("result", "value", "unit", "verdict"), [*measured, *made])


def left_out(inputs: Sequence[UsedFrame]) -> list[dict[str, str]]:
    """Return the frames that were left out, of all or of a product, and why."""
    rows = [[one.frame.path.name, one.role.removeprefix(FOR), one.excluded] for one in inputs if one.excluded]
    return _rows(("file", "as", "reason"), rows)


def _rows(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[dict[str, str]]:
    """Return rows for a table, whose cells the Prefect UI takes for Markdown; of many some, and how many more."""
    cells = [dict(zip(columns, map(text, row), strict=True)) for row in rows[:MOST_ROWS]]
    return [*cells, *([{columns[0]: left}] if (left := more(len(rows))) else [])]


def publish_registration(home: Home, *, since: datetime) -> None:
    """Attach to the flow run that is under way what the frames registered since a time were taken for, and why."""
    with home.read_session() as session:
        frames = [one for one in list_frames(session) if one.registered_at >= since]
    if not frames:
        return
    lines = [
        f"* {text(Path(one.paths[0]).name if one.paths else one.sha256[:12])}: **{one.frame_type}** of "
        f"{text(one.instrument)}, by {text(one.frame_type_reason)}"
        for one in frames[:MOST_ROWS]
    ]
    title = f"# {len(frames)} new frame{'s'[: len(frames) != 1]}"
    content = "\n\n".join([title, "\n".join(lines), more(len(frames))])
    create_markdown_artifact(content, key="registered-frames")
