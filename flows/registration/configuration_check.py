"""`config check`: a configuration held against itself, against what is on record, and against the disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from sqlalchemy.orm import Session

from ccdcore.errors import FrameReadError
from ccdcore.headers.identify import find_instrument
from ccdcore.headers.instrument import Instrument
from ccdcore.io.read import read_header
from ccdcore.quantities import QUANTITIES
from db.errors import DatabaseError
from db.frames.entries import entries_with_frames
from db.frames.listing import frame_shapes, sample_of_frames
from db.runs.sets import instruments_on_record
from db.trends.history import trends
from flows.config.check import Evidence, Oddity, misplaced, missing_folders, senseless, unusable_keys
from flows.config.errors import SettingsError
from flows.config.settings import Settings, load_settings
from flows.home.home import read_home

LATEST = 200
"""Measurements of a quantity that limits are held against, the latest."""
MOST_HEADERS = 500
"""Headers that are read to see which entries fit."""


def check(home: Path) -> tuple[list[Oddity], str | None]:
    """Return what is odd in the configuration of a home, and why the record was not asked; None where it was.

    Nothing is made or changed.

    Raises
    ------
    SettingsError
        If the file is no TOML.
    """
    if found := unusable_keys(home):
        return found, "the keys above must be right before values can be looked at"
    settings = load_settings(home)
    evidence, why = Evidence(), None
    try:
        opened = read_home(home)
    except (SettingsError, DatabaseError) as error:
        why = f"not held against what is on record: {error}"
    else:
        with opened.read_session() as session:
            evidence = evidence_of(session, settings)
        opened.engine.dispose()
    return [*missing_folders(settings), *misplaced(settings, evidence), *senseless(settings, evidence)], why


def evidence_of(session: Session, settings: Settings) -> Evidence:
    """Return what the record, and headers of some of its frames, say of the entries of a configuration."""
    entries = settings.instruments
    sample, with_frames = sample_of_frames(session, host=settings.host), entries_with_frames(session)
    left = [number for number, one in enumerate(entries, start=1) if one.digest not in with_frames]
    return Evidence(
        unmatched=_unmatched(entries, left, [path for _, path in sample]) if left else {},
        last_observed=max((when for when, _ in sample if when is not None), default=None),
        measured=dict(_measured(session, entries)),
        shapes={
            number: frame_shapes(session, instrument=one.name, since=one.valid_from, until=one.valid_to)
            for number, one in enumerate(entries, start=1)
            if one.amplifiers
        },
        shapes_of={
            name: frame_shapes(session, instrument=name, since=None, until=None)
            for name in instruments_on_record(session)
            if settings.recipes.gain.region is not None
        },
    )


def _unmatched(entries: Sequence[Instrument], left: Sequence[int], paths: Sequence[Path]) -> dict[int, int]:
    """Return which of the entries ``left`` the frames in these files are not of, as `Evidence` has it.

    Frames on record may have been identified by other entries than those in force: their headers are asked.
    """
    found: dict[int, int] = {}
    taken = set[int]()
    n_read = 0
    for path in paths[-MOST_HEADERS:]:
        try:
            cards = read_header(path).cards
        except FrameReadError:
            continue
        n_read += 1
        first = find_instrument(cards, entries)
        number = next((n for n, one in enumerate(entries, start=1) if one is first), 0)
        taken.add(number)
        found |= {n: number for n in left if n not in found and find_instrument(cards, [entries[n - 1]])}
    return {n: found.get(n, 0) for n in left if n not in taken} if n_read else {}


def _measured(
    session: Session, entries: Sequence[Instrument]
) -> Iterator[tuple[tuple[int, str], tuple[float, float | None]]]:
    names = {one.limits_key: name for name, one in QUANTITIES.items()}
    for number, entry in enumerate(entries, start=1):
        for key in entry.spec:
            since, until = entry.valid_from, entry.valid_to
            rows = trends(session, quantity=names[key], instrument=entry.name, since=since, until=until)[-LATEST:]
            if rows:
                errors = [row.uncertainty for row in rows if row.uncertainty is not None]
                yield (number, key), (median(row.value for row in rows), median(errors) if errors else None)
