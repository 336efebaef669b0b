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
from flows.health.condition import words_of_ages
from flows.health.state import Health, health
from flows.home.home import read_home

MOST_LINES = 10
"""Lines of one kind; all are in the JSON."""

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
    return not state.problems


def doctor(home: Path) -> bool:
    """Print what is right and wrong with the set-up of a home, and what to type; return whether nothing is wrong."""
    found = list(findings(home))
    _print(f"{one.level:4} {one.text}" for one in found)
    return all(one.level is not Level.FAIL for one in found)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(redact(one_line(line)))


def _sentences(state: Health) -> list[str]:
    """Return the facts in words, one a line."""
    files = ", ".join(f"{n} {kind}" for kind, n in state.files.items() if n)
    ages = words_of_ages(state.ages_s)
    return [
        f"not healthy: {'; '.join(state.problems)}" if state.problems else "healthy",
        f"home {state.home}: {state.free_bytes / 2**30:.1f} GiB free",
        _service(state),
        f"files: {files or 'none on record'}",
        *([ages] if ages else []),
        *_first("quarantine", state.quarantined, lambda file: f"{file['id']}, {file['path']}: {file['reason']}"),
        *_first("disagreement", state.disagreements, lambda one: f"{one['frame']}: {one['told']}"),
        *_first("run under way", state.open_runs, _set),
        *_first("failed run", state.failed_runs, lambda run: f"run:{run['run_id']}, {_set(run)}: {run['message']}"),
        *_first("to be calibrated", state.due, _set),
        *_stale(state.stale),
        *_first("odd date", state.odd_dates, _dated),
        *_otherwise(state.identified_otherwise),
    ]


def _service(state: Health) -> str:
    if state.prefect_ui_url is None:
        return f"no service runs on this home: ccdwatch up --home {state.home}"
    return f"service at {state.prefect_ui_url}: Prefect {'answers' if state.prefect_answers else 'does not answer'}"


def _first(what: str, facts: Sequence[Mapping[str, Any]], words: Callable[[Mapping[str, Any]], str]) -> list[str]:
    more = len(facts) - MOST_LINES
    lines = [f"{what}: {words(fact)}" for fact in facts[:MOST_LINES]]
    return [*lines, f"{what}: … and {more} more"] if more > 0 else lines


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
