"""Pages of trends: the history of a quantity, and where it changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from ccdcore.text import natural_key
from db.judgements.notes import notes_that_hold
from db.trends.changes import changes
from db.trends.history import TrendRow, systematic_uncertainties
from db.trends.history import trends as history
from db.trends.overview import measured, series
from web.charts.comparison import MOST_SERIES, comparisons
from web.charts.trend_panels import Drawing, panels
from web.dependencies import Reading
from web.parameters import Instant, Name, Which, Word, field
from web.templating import page

router = APIRouter()

LAST_ROWS = 12
MOST_PANELS = 24
AT_MOST = 800
"""Points of one panel: about one for each pixel across."""


class Shown(Which):
    """Which measurements, and how they are drawn."""

    whole: bool = False
    log: bool = False

    @property
    def drawing(self) -> Drawing:
        """How values are drawn."""
        return Drawing(whole=self.whole, log=self.log)

    @property
    def of_all_times(self) -> dict[str, str]:
        """The same, not only of a span of time."""
        return {name: one for name, one in self.fields().items() if name not in {"since", "until"}}


class Compared(BaseModel):
    """Which instruments beside each other, and how they are drawn."""

    instrument: list[Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]] = []
    amplifier: Name = None
    filter: Name = None
    since: Instant = None
    until: Instant = None
    log: bool = False

    def fields(self) -> dict[str, Any]:
        """Return what was asked for as the fields of a form; instruments as a tuple."""
        given = self.model_dump(exclude={"instrument"}).items()
        return {"instrument": tuple(self.instrument), **{name: field(one) for name, one in given if one}}

    @property
    def of_all_times(self) -> dict[str, Any]:
        """The same, not only of a span of time."""
        return {name: one for name, one in self.fields().items() if name not in {"since", "until"}}


@router.get("/trends/{quantity}")
def trend(request: Request, session: Reading, quantity: Word, which: Annotated[Shown, Query()]) -> Response:
    """The history of a quantity."""
    rows = history(session, quantity=quantity, at_most=AT_MOST, **which.asked())
    notes = notes_that_hold(session, which.instrument, since=which.since, until=which.until)
    drawn = panels(rows, notes, which.drawing)
    return page(
        request,
        "trend.html",
        quantity=quantity,
        which=which,
        choices=_choices(session, quantity, which),
        panels=drawn[:MOST_PANELS],
        systematic=systematic_uncertainties(session, [one.latest.id for one in drawn[:MOST_PANELS]]),
        n_panels=len(drawn),
        is_thinned=any(len(panel.dots) >= AT_MOST for panel in drawn),
        last=_last(session, quantity, which, rows),
        is_any_marked=not all(row.counts for row in rows),
        notes=[one for one in notes if one.of in {row.instrument for row in rows}][::-1],
    )


@router.get("/trends/{quantity}/compare")
def compare(request: Request, session: Reading, quantity: Word, asked: Annotated[Compared, Query()]) -> Response:
    """The history of a quantity of several instruments in one plot."""
    choices = _choices(session, quantity, Which())
    names = dict.fromkeys(asked.instrument) or choices.instruments[:MOST_SERIES]
    rows = [
        row
        for name in names
        for row in history(
            session,
            quantity=quantity,
            instrument=name,
            amplifier=asked.amplifier,
            filter_name=asked.filter,
            since=asked.since,
            until=asked.until,
            at_most=AT_MOST,
        )
    ]
    rows.sort(key=lambda row: (row.observed_at, row.id))
    return page(
        request,
        "compare.html",
        quantity=quantity,
        asked=asked,
        choices=choices,
        compared=names,
        comparisons=comparisons(rows, drawing=Drawing(log=asked.log)),
    )


@router.get("/trends/{quantity}/changes")
def steps(request: Request, session: Reading, quantity: Word, which: Annotated[Which, Query()]) -> Response:
    """Where the trend steps or drifts: a page of its own, since it takes a moment to find out."""
    asked = which.asked()
    first, last = asked.pop("since"), asked.pop("until")
    del asked["superseded"]
    found = [
        one
        for one in changes(session, quantity=quantity, **asked)
        if (first is None or one.first_at >= first) and (last is None or one.first_at < last)
    ]
    return page(request, "changes.html", quantity=quantity, which=which, changes=found[::-1])


def _last(session: Session, quantity: str, which: Which, shown: Sequence[TrendRow]) -> list[TrendRow]:
    """Return the newest measurements, the newest in front; those of a plot may be thinned."""
    asked = which.asked()
    if len(shown) > LAST_ROWS:
        asked["since"] = shown[-LAST_ROWS].observed_at
    return history(session, quantity=quantity, **asked)[: -LAST_ROWS - 1 : -1]


@dataclass(frozen=True, slots=True)
class _Choices:
    """What the form offers: what there is of the chosen instrument, and what is chosen already."""

    quantities: list[str]
    instruments: list[str]
    amplifiers: list[str]
    configurations: list[str]
    filters: list[str]


def _choices(session: Session, quantity: str, which: Which) -> _Choices:
    known = measured(session)
    of_it = [one for one in series(session) if which.instrument in {None, one.instrument}]
    return _Choices(
        quantities=_offered((of for _, of in known), quantity),
        instruments=_offered((camera for camera, of in known if of == quantity), which.instrument),
        amplifiers=_offered((one.amplifier for one in of_it), which.amplifier),
        configurations=_offered((one.configuration for one in of_it), which.configuration),
        filters=_offered((one.filter for one in of_it), which.filter),
    )


def _offered(known: Iterable[str | None], chosen: str | None) -> list[str]:
    return sorted({one for one in (*known, chosen) if one is not None}, key=natural_key)
