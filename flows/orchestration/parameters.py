"""What a run of the flow `calibrate` is asked for: checked, and made a plan; or why there is nothing to do."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from ccdcore.errors import ExpectedError
from ccdcore.text import one_line
from db.runs.runs import find_run, open_runs
from db.runs.sets import set_summaries
from db.schema.models import Outcome
from flows.home.home import Home
from flows.home.processes import now
from flows.products.cleanup import give_up_lost_runs
from flows.runs.plan import UNDONE, plans_of

_LARGEST_ID = 2**31 - 1
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LEAVE_EMPTY = "leave digest and attempt empty, and the set is made again as it is now"
_WHERE = "the pages show the number of a set with each of its runs"


class WrongParameterError(ExpectedError):
    """A run was asked for with a parameter that means nothing here."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A run that was asked for.

    Parameters
    ----------
    set_id : int
        The calibration set.
    digest : str
        Digest of its inputs.
    attempt : int
        Which attempt at these it is.
    """

    set_id: int
    digest: str
    attempt: int


def checked(set_id: object, digest: object, attempt: object) -> Asked | int:
    """Return what was asked for; the set alone where nobody says which inputs, as in the Prefect UI.

    Raises
    ------
    WrongParameterError
        If one of them is no such thing.
    """
    number = _number(set_id)
    if number is None:
        raise WrongParameterError(f"set_id is {_shown(set_id)}: give the number of a set, for example 5: {_WHERE}")
    if digest is None or attempt is None:
        return number
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise WrongParameterError(f"digest is {_shown(digest)}: {_LEAVE_EMPTY}")
    nth = _number(attempt)
    if nth is None:
        raise WrongParameterError(f"attempt is {_shown(attempt)}: {_LEAVE_EMPTY}")
    return Asked(number, digest, nth)


def _number(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST_ID:
        return value
    return None


def _shown(value: object) -> str:
    return one_line(repr(value))[:60]


def next_run(home: Home, set_id: int, *, again_after: Collection[Outcome] = frozenset(Outcome)) -> Asked | str:
    """Return the run that makes a set again of what is there now, or why there is none to be made.

    Parameters
    ----------
    home : Home
        The open home.
    set_id : int
        The set.
    again_after : collection of Outcome
        How the last run on the same inputs may have ended.

    Raises
    ------
    WrongParameterError
        If there is no such set.
    """
    give_up_lost_runs(home)
    if plans := plans_of(home, {set_id}, now(), again_after=again_after):
        return Asked(set_id, plans[0].digest, plans[0].attempt)
    with home.read_session() as session:
        known = {one.id: one for one in set_summaries(session, host=home.settings.host)}
        under_way = [run.id for run in open_runs(session) if run.set_id == set_id]
    if set_id not in known:
        raise WrongParameterError(f"set_id is {set_id}: no frames of such a set are on record here: {_WHERE}")
    if under_way:
        return f"Nothing to do: run {under_way[0]} is at work on this set"
    last = known[set_id].latest_run
    return f"Nothing to do: this set was made since, by run {last.id}" if last else "Nothing to do"


def asked_again(home: Home, asked: Asked, flow_run_id: str) -> Asked | str:
    """Return the run that *Retry* in the Prefect UI means: the set as it is now, unless it was made since.

    Parameters
    ----------
    home : Home
        The open home.
    asked : Asked
        What the flow run was asked for at first; where it never began that, that is what it is to do.
    flow_run_id : str
        Of the flow run.
    """
    with home.read_session() as session:
        first = find_run(session, set_id=asked.set_id, digest=asked.digest, attempt=asked.attempt)
    if first is None or first.flow_run_id != flow_run_id:
        return asked
    return next_run(home, asked.set_id, again_after=frozenset(Outcome) if first.is_done else UNDONE)
