"""Each product of a run made to fail as nobody foresaw: all others are made, it is told, and made again."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from sqlalchemy.exc import OperationalError

from ccdcore.errors import ChangedFrameError
from ccdcore.quantities import QUANTITIES, is_of_darks
from db.runs.masters import run_masters
from db.runs.measurements import run_measurements
from db.runs.runs import RunOnRecord, current_runs, failed_runs, list_runs
from db.trends.history import trends
from flows.calibration import engine
from flows.calibration.steps import STEPS
from flows.commands.process import process, retry
from flows.health.state import health
from flows.home.home import Home, open_home
from flows.runs.pictures import pictures_of
from flows.runs.plan import next_attempt
from tests.support.simulate import simple_night

NUMBERS = {
    "gain": "flows.products.measuring.measure_gain",
    "parts of the noise": "flows.products.measuring.measure_noise",
    "master bias": "flows.masters.biases.master_bias",
    "master dark 60 s": "flows.masters.darks.master_dark",
    "master flat V": "flows.masters.flats.master_flat",
    "bad pixels": "flows.calibration.steps.find_bad_pixels",
    "references": "flows.calibration.steps.refresh_references",
}
"""Product → what makes it."""
DRAWN = {
    "picture All on one page": "flows.calibration.figures.report_page",
    "alerts": "flows.products.trends.raise_notices",
    "picture of the trend of the gain": "flows.products.trends.draw_trend",
}
ERRORS: tuple[Callable[[], Exception], ...] = (
    lambda: RuntimeError("what nobody foresaw"),
    lambda: IndexError("list index out of range"),
    lambda: np.linalg.LinAlgError("singular matrix"),
    lambda: ZeroDivisionError("division by zero"),
    lambda: AssertionError("it cannot be"),
    lambda: RecursionError("too deep"),
)
OF_THE_RUN: tuple[Callable[[], Exception], ...] = (
    lambda: OSError(errno.ENOSPC, "No space left on device"),
    MemoryError,
    lambda: OperationalError("select 1", {}, Exception("server closed the connection")),
)


def run(full: bool) -> str:
    errors = ERRORS if full else ERRORS[:1]
    drawn = DRAWN if full else dict(list(DRAWN.items())[:1])
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
        frames, home = Path(name) / "frames", open_home(Path(name) / "home")
        simple_night(frames, n_dark=3, n_bias=5)
        with _numbers_only():
            n_numbers = _fail_one_by_one(home, frames, NUMBERS, errors)
            whole = _made(home)
            for make in OF_THE_RUN:
                _check_whole_run(home, make(), whole)
            with _failing(NUMBERS["master flat V"], ChangedFrameError(Path("f.fits"), "0" * 64, "1" * 64)):
                _again(home)
            with home.read_session() as session:
                ended = [one.outcome for one in list_runs(session, superseded=True)][-2:]
            assert ended == ["abandoned", "done"], f"a file that changed: {ended}"
        n_drawn = _fail_one_by_one(home, frames, drawn, errors)
    return (
        f"{n_numbers + n_drawn} failures of {len(NUMBERS) + len(drawn)} products: the others all made, told by "
        f"process, runs and status, made again at the next attempt; {len(OF_THE_RUN)} failures of the whole run: "
        "nothing of it released"
    )


def _fail_one_by_one(
    home: Home, frames: Path, products: Mapping[str, str], errors: Sequence[Callable[[], Exception]]
) -> int:
    """Let each product fail in an attempt of its own: the one before it is then made again."""
    process(home, [frames])
    assert not _again(home)["failed"]
    whole = _made(home)
    trials = [(product, make()) for product in products for make in errors]
    for product, error in trials:
        _check_one(home, product, error, whole)
    assert not _again(home)["failed"]
    assert _made(home) == whole
    with home.read_session() as session:
        assert not failed_runs(session), "still told"
    return len(trials)


@contextmanager
def _numbers_only() -> Iterator[None]:
    with patch.object(engine, "STEPS", [step for step in STEPS if step.is_urgent]):
        yield


def _check_one(home: Home, product: str, error: Exception, whole: set[str]) -> None:
    what = f"{product}, {type(error).__name__}"
    with _failing({**NUMBERS, **DRAWN}[product], error):
        answer = _again(home)
    (told,) = answer["failed"]
    assert told["product"] == product, f"{what}: told is {told}"
    assert type(error).__name__ in told["reason"], f"{what}: {told}"
    lost = whole - _made(home)
    assert lost <= _of(product), f"{what}: also lost is {lost - _of(product)}"
    with home.read_session() as session:
        lost = whole & set(QUANTITIES) - {row.quantity for row in trends(session)}
    lost.discard("dead_pixels")  # which the run before, that made no master flat, did not look for
    assert product.startswith("master") or not lost, f"{what}: in force is no {lost}, though it had been measured"
    last = _last(home)
    assert (last.outcome, product in str(last.message)) == ("done", True), f"{what}: the run says {last}"
    with home.read_session() as session:
        (current,) = current_runs(session, [last.calibration_set_id])
    found = health(home)
    assert [one["message"] for one in found.failed_runs] == [last.message], f"{what}: status says {found.failed_runs}"
    assert current.id == last.id
    kinds = sorted(path.name.split("_")[1] for path in (home.path / "reference").rglob("*.fits"))
    assert kinds == ["bias", "dark", "darkrate", "flat"], f"{what}: a good master is in force no more: {kinds}"
    first, ended = replace(current, attempt=1), current.ended_at
    assert ended is not None
    assert next_attempt(first, ended) is None, f"{what}: made again without a pause"
    assert next_attempt(first, ended + timedelta(minutes=1)) == 2, f"{what}: not made again"
    assert next_attempt(replace(first, attempt=3), ended + timedelta(days=1)) is None, f"{what}: made again for ever"


def _check_whole_run(home: Home, error: Exception, whole: set[str]) -> None:
    before = _last(home)
    with _failing(NUMBERS["master flat V"], error):
        try:
            answer = _again(home)
        except OperationalError:  # told to whoever asked
            answer = {"failed": [{}]}
    assert answer["failed"], f"{type(error).__name__}: nothing told"
    assert _last(home).outcome in {"failed", "abandoned"}, f"{type(error).__name__}: {_last(home)}"
    with home.read_session() as session:
        (current,) = current_runs(session, [before.calibration_set_id])
    assert current.id == before.id, f"{type(error).__name__}: earlier results gave way to a part"
    _again(home)
    assert _made(home) == whole


def _again(home: Home) -> dict[str, Any]:
    return retry(home, [f"run:{_last(home).id}"])


def _last(home: Home) -> RunOnRecord:
    with home.read_session() as session:
        return list_runs(session, superseded=True)[-1]


@contextmanager
def _failing(target: str, error: Exception) -> Iterator[None]:
    """Let a function raise: once, so that what else needs it has it; that of the gain wherever there are flats."""
    module, _, name = target.rpartition(".")
    real, left = getattr(import_module(module), name), [error]

    def fail(*arguments: Any, **options: Any) -> Any:
        if left and not (name == "measure_gain" and not arguments[1]):
            raise left.pop()
        return real(*arguments, **options)

    with patch(target, fail):
        yield
    assert not left, f"{target} was not called"


def _made(home: Home) -> set[str]:
    """Name all that the current run has made."""
    with home.read_session() as session:
        (run,) = current_runs(session, {one.calibration_set_id for one in list_runs(session)})
        measured = {row.quantity for row in run_measurements(session, run.id)}
        masters = {f"master {row.kind}" for row in run_masters(session, run.id)}
    return measured | masters | {path.stem for path in pictures_of(home, run.id)}


def _of(product: str) -> set[str]:
    """Name what there is not where a product failed, and what can be only where it is."""
    of_noise = {"fixed_pattern_adu", "row_noise_adu", "column_noise_adu", "pickup_adu", "noise_tail_fraction"}
    of_mask = {"master mask", *(f"{kind}pixels" for kind in ("bad_", "hot_", "dead_", "noisy_", "nonlinear_"))}
    of_darks = {name for name in QUANTITIES if is_of_darks(name)}
    pictures = {
        f"Master-{kind}-{what}" for kind in (product[7:].replace(" ", "-"),) for what in ("frames", "histogram")
    }
    return {
        "gain": {
            "gain",
            "corrected_gain",
            "read_noise",
            "Photon-transfer",
            "Trend-of-the-gain",
            "Trend-of-the-read-noise",
        },
        "parts of the noise": {*of_noise, "Noise-spectrum"},
        "master bias": {product, *of_mask, *pictures},
        "master dark 60 s": {"master dark", "master darkrate", *of_darks, *pictures},
        "master flat V": {"master flat", "dead_pixels", "prnu", *pictures},
        "bad pixels": of_mask,
        "picture All on one page": {"All-on-one-page"},
        "picture of the trend of the gain": {"Trend-of-the-gain"},
    }.get(product, set())
