"""`status` and `doctor`: is the service healthy, and is its set-up right."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ccdcore.text import number_of, one_line
from flows.commands.setup_checks import Level, findings
from flows.config.redaction import redact
from flows.health.attention import Concern, look_at_all
from flows.health.condition import SILENT_SECONDS, words_of_ages
from flows.health.state import Health, health
from flows.health.waiting import Waiting
from flows.home.home import open_home, read_home
from flows.home.processes import now
from flows.terminal import tell

MOST_LINES = 10
"""Lines of one kind; all are in the JSON."""

_LISTED = frozenset({"quarantine", "failed run", "several exposures", "disagreement", "date"})
"""Kinds of concerns that have a list of their own."""

AGAIN = "ccdwatch backfill makes them anew"


def status(home: Path, *, as_json: bool) -> bool:
    """Print how a home is doing; return whether it is healthy.

    Raises
    ------
    SettingsError, DatabaseError
        If there is no home, or its configuration or database cannot be used.
    """
    state = health(read_home(home))
    if as_json:
        click.echo(json.dumps(state.as_dict(), indent=2, allow_nan=False))
    else:
        _print(_sentences(state))
    return state.judged.is_healthy


def look_at(home: Path, *, who: str) -> list[str]:
    """Put on record that somebody has looked at all that needs attention; return in words what that is.

    Raises
    ------
    SettingsError, DatabaseError
        If there is no home, or its configuration or database cannot be used.
    """
    read_home(home).engine.dispose()  # no home is made for it
    return [f"seen: {one.words}" for one in look_at_all(open_home(home), who=who)]


def doctor(home: Path) -> bool:
    """Print what is right and wrong with the set-up of a home, and what to type; return whether nothing is wrong."""
    found = list(findings(home))
    _print(f"{one.level:4} {one.text}" for one in found)
    return all(one.level is not Level.FAIL for one in found)


def _print(lines: Iterable[str]) -> None:
    tell(redact(one_line(line)) for line in lines)


def _sentences(state: Health) -> list[str]:
    """Return the facts in words, one a line."""
    files = ", ".join(f"{n} {kind}" for kind, n in state.files.items() if n)
    ages = words_of_ages(state.judged.ages_s)
    return [
        state.judged.words,
        f"home {state.home}: {state.free_bytes / 2**30:.1f} GiB free",
        _service(state),
        f"files: {files or 'none on record'}",
        *([ages] if ages else []),
        *_waiting(state.waiting),
        *_concerns(state.judged.attention),
        *_first("quarantine", state.quarantined, lambda file: f"{file['id']}, {file['path']}: {file['reason']}"),
        *_first("disagreement", state.disagreements, lambda one: f"{one['frame']}: {one['told']}"),
        *_first("failed run", state.failed_runs, lambda run: f"run:{run['run_id']}, {_set(run)}: {run['message']}"),
        *_stale(state.stale),
        *_first("odd date", state.odd_dates, _dated),
        *_otherwise(state.identified_otherwise),
    ]


def _service(state: Health) -> str:
    if state.prefect_ui_url is None:
        heard_s = state.judged.ages_s.get("watcher")
        if heard_s is not None and heard_s <= SILENT_SECONDS:
            return "service: starts; its Prefect has no address yet"
        return f"no service runs on this home: ccdwatch up --home {state.home}"
    return f"service at {state.prefect_ui_url}: Prefect {'answers' if state.prefect_answers else 'does not answer'}"


def _waiting(waiting: Iterable[Waiting]) -> list[str]:
    words: dict[str, list[str]] = defaultdict(list)
    for one in waiting:
        words[one.state].append(one.words(now()))
    return [line for state, lines in words.items() for line in _some(state, lines)]


def _concerns(concerns: Iterable[Concern]) -> list[str]:
    """Return what needs attention; what has a list of its own, looked at or not, stands in that."""
    words: dict[str, list[str]] = defaultdict(list)
    for one in concerns:
        if one.kind not in _LISTED:
            words[one.kind].append(one.words)
    return [line for kind, lines in words.items() for line in _some(kind, lines)]


def _some(what: str, lines: Sequence[str]) -> list[str]:
    more = len(lines) - MOST_LINES
    return [f"{what}: {line}" for line in [*lines[:MOST_LINES], *([f"… and {more} more"] if more > 0 else [])]]


def _first(what: str, facts: Sequence[Mapping[str, Any]], words: Callable[[Mapping[str, Any]], str]) -> list[str]:
    return _some(what, [words(fact) for fact in facts])


def _set(fact: Mapping[str, Any]) -> str:
    return f"{fact['instrument']} {fact['night']} {fact['configuration']}"


def _dated(fact: Mapping[str, Any]) -> str:
    return f"{number_of(fact['n'], 'frame')} of {fact['instrument']}, as {fact['path']}: {fact['reason']}"


def _stale(facts: Iterable[Mapping[str, Any]]) -> list[str]:
    nights = defaultdict(list)
    for fact in facts:
        nights[fact["changed"]].append(fact["night"])
    return [
        f"stale: {number_of(len(of), 'set')} of {min(of)} to {max(of)}, {changed} changed since: {AGAIN}"
        for changed, of in nights.items()
    ]


def _otherwise(n: int) -> list[str]:
    return [f"stale: {number_of(n, 'frame')}, identified by other rules than those in force: {AGAIN}"] if n else []
