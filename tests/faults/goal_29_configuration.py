"""The configuration is edited while the service runs: taken up by all parts, mistakes told, no set fails for it."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from pathlib import Path

from db.runs.runs import made_with
from flows.health.condition import condition
from tests.faults.goals import CannotRunError
from tests.support.service import Service, wait_for
from tests.support.simulate import simple_night

TOLD_SECONDS = 120.0
N_FRAMES = 9
MISTAKES = ("[recipes.bias]\nclip = 3\n", "[recipes.bias\n", '[database]\nurl = "sqlite:///other.db"\n')
"""An unknown key, no TOML, and what only a restart takes up."""


def run(full: bool) -> str:
    if not full:
        raise CannotRunError("it takes minutes; tests/e2e/test_service.py edits a recipe while the service runs")
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
        service = Service(Path(name))
        before = (service.home / "ccdwatch.toml").read_text()
        service.start(within=180)
        try:
            took = [_edit(service, before, number) for number in range(4)]
            told = [_mistake(service, before, number) for number in range(len(MISTAKES))]
            _window_there_and_back(service, before)
            outcomes = {run.outcome for name in _names(service) for run in service.runs(name)}
        finally:
            with suppress(AssertionError):
                service.crash()
            service.on_record.engine.dispose()
    assert "failed" not in outcomes, outcomes
    return (
        f"{len(took)} edits of a recipe as nights landed: all by the new one, done within {max(took):.0f} s; "
        f"{len(told)} mistakes told within {max(told):.0f} s, work went on when corrected; window_nights to and fro; "
        "0 failed runs"
    )


def _names(service: Service) -> list[str]:
    return sorted(path.name for path in service.incoming.iterdir())


def _write(service: Service, text: str) -> None:
    """Replace the file at once, as editors do."""
    new = service.home / "ccdwatch.toml.new"
    new.write_text(text)
    new.replace(service.home / "ccdwatch.toml")


def _land(service: Service, name: str, seed: int) -> None:
    folder = service.outside / name
    simple_night(folder, seed=seed, instrument=name)
    folder.rename(service.incoming / name)


def _edit(service: Service, before: str, number: int) -> float:
    """Edit a recipe at another moment of a night each time; return how long its results took."""
    name, clip = f"edit{number}", 5.0 + number
    _land(service, name, number)
    began = time.monotonic()
    time.sleep(2.5 * number)
    _write(service, f"{before}[recipes.bias]\nclip_sigma = {clip}\n")
    done = wait_for(lambda: _clip_of(service, name) == clip, seconds=180, every=0.5)
    assert done, f"{name}: made with {_clip_of(service, name)} for {clip}\n{service.said()}"
    return time.monotonic() - began


def _clip_of(service: Service, name: str) -> object:
    """Return the option that the current results of a night were made with."""
    if (run := service.done(name, N_FRAMES)) is None:
        return None
    with service.on_record.read_session() as session:
        made = {one.id: one.recipes for one, _ in made_with(session, host=service.on_record.settings.host)}
    clip = made[run.id]["bias"]["clip_sigma"] if run.id in made else None
    return clip[0] if isinstance(clip, list) else clip


def _mistake(service: Service, before: str, number: int) -> float:
    """Make a mistake, let a night land, see that it is told; correct it, and see that the night is done."""
    name = f"mistake{number}"
    _write(service, before + MISTAKES[number])
    began = time.monotonic()
    _land(service, name, 50 + number)
    told = wait_for(
        lambda: [one for one in condition(service.on_record).findings if "ccdwatch.toml: " in one], seconds=TOLD_SECONDS
    )
    assert told, condition(service.on_record).findings
    seconds = time.monotonic() - began
    time.sleep(15)
    assert {run.outcome for run in service.runs(name)} <= {"abandoned"}, service.runs(name)
    _write(service, before)
    service.wait_until_done(name, N_FRAMES, seconds=180)
    assert wait_for(lambda: condition(service.on_record).is_ok, seconds=60), condition(service.on_record).findings
    return seconds


def _window_there_and_back(service: Service, before: str) -> None:
    """Make a window of nights wider, and narrow again; a night that lands each time is done."""
    for number, keys in enumerate(("[nights]\nwindow_nights = 5\n", "")):
        _write(service, before + keys)
        time.sleep(5)
        _land(service, f"window{number}", 70 + number)
        service.wait_until_done(f"window{number}", N_FRAMES, seconds=180)
