"""A frame marked bad while the service runs: its set made anew at once; taken back: bit for bit as at first."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from astropy.io import fits

from db.frames.listing import list_frames
from db.runs.masters import list_masters
from db.runs.runs import RunOnRecord, list_runs
from flows.calibration.engine import run_locally
from flows.commands.process import process
from flows.home.home import Home, open_home, read_home
from flows.home.processes import now
from flows.judgements.judging import mark
from flows.runs.plan import Plan
from flows.service.dispatcher import Dispatcher
from tests.faults.prefect_stub import IdlePrefect
from tests.support.drawing import no_pictures
from tests.support.service import Service, ccdwatch, wait_for
from tests.support.simulate import NOTEBOOK_NIGHTS, Camera, simple_night

WITHIN_SECONDS = 60.0
"""From the mark to its results on record, of 10 biases and 10 flats of 2048² pixels, where nothing else is done."""
TIMES_ITS_COST, OVERHEAD_SECONDS = 5.0, 10.0
"""How long it may take on any machine: against the first making of the same set, in the same process."""
SETTLE_SECONDS = 86_400.0
"""How long the set would wait for more frames."""
PATIENCE_SECONDS = 900.0
NIGHT = NOTEBOOK_NIGHTS[0]


@dataclass(frozen=True)
class Trial:
    """A home whose one set was made, and is waiting for more frames since: what marks do to it."""

    home: Home
    cost: float
    """Seconds that the first making took."""
    mark: Callable[..., None]

    def measure(self) -> tuple[float, float]:
        """Mark a frame bad and take that back; return the seconds after which each was on record."""
        at_first = _hashes(self.home)
        with self.home.read_session() as session:
            bias = next(one for one in list_frames(session, frame_type="bias", instrument="testcam"))
        bad = self._anew(bias.id, undo=False)
        marked = _hashes(self.home)
        assert marked.keys() == at_first.keys()
        assert marked["bias"] != at_first["bias"], "the frame is still in it"
        back = self._anew(bias.id, undo=True)
        assert _hashes(self.home) == at_first, "taken back, it is not what it was"
        return bad, back

    def _anew(self, key: int, *, undo: bool) -> float:
        before = len(_runs(self.home))
        began = now()
        self.mark(f"frame:{key}", undo=undo)
        done = wait_for(lambda: _done_after(self.home, before), seconds=PATIENCE_SECONDS)
        assert done, f"not made anew in {PATIENCE_SECONDS:g} s"
        return float((done.ended_at - began).total_seconds())


def run(full: bool) -> str:
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory:
        return _with_the_service(Path(directory)) if full else _in_little(Path(directory))


def _with_the_service(top: Path) -> str:
    service = Service(top, settle_seconds=SETTLE_SECONDS)
    camera = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(2048, 2048))
    simple_night(service.incoming / "night", camera=camera, n_bias=10, n_flat=10)
    try:
        service.start(within=PATIENCE_SECONDS)
        began = time.monotonic()
        said = ccdwatch(service.home, "process", service.incoming / "night", seconds=PATIENCE_SECONDS)
        assert said.returncode == 0, said.stderr
        cost = time.monotonic() - began

        def by_command(id_text: str, *, undo: bool) -> None:
            words = ["bad", "--why", "dome light", *(["--undo"] if undo else [])]
            answer = ccdwatch(service.home, "mark", id_text, *words)
            assert answer.returncode == 0, answer.stderr
            assert "made anew by the service" in answer.stdout, answer.stdout

        bad, back = Trial(read_home(service.home), cost, by_command).measure()
    finally:
        service.crash()
    assert max(bad, back) <= WITHIN_SECONDS, f"{bad:.0f} s after the mark and {back:.0f} s after it was taken back"
    return (
        f"20 frames of 2048²: made anew {bad:.1f} s after the mark, {back:.1f} s after it was taken back, pixels as at "
        f"first (the first making took {cost:.1f} s)"
    )


def _in_little(top: Path) -> str:
    """Let the loop of the service run in this process, with a Prefect that does at once what it is asked for."""
    simple_night(top / "other", instrument="othercam")
    (top / "home").mkdir()
    (top / "home" / "ccdwatch.toml").write_text(f"[watch]\nsettle_seconds = {SETTLE_SECONDS}\n")
    home = open_home(top / "home")
    with no_pictures():
        process(home, [top / "other"])  # compiles what there is to compile
        simple_night(top / "raw")
        began = time.monotonic()
        process(home, [top / "raw"])
        cost = time.monotonic() - began
        stop = Event()
        loop = Thread(target=_keep_ticking, args=(Dispatcher(home, _LocalPrefect(home)), stop))  # type: ignore[arg-type]
        loop.start()
        try:
            wait_for(lambda: False, seconds=2)  # it has looked at everything, and waits for half a minute

            def in_process(id_text: str, *, undo: bool) -> None:
                mark(home, id_text, "bad", why="dome light", who="anna", undo=undo)

            bad, back = Trial(home, cost, in_process).measure()
        finally:
            stop.set()
            loop.join()
    home.engine.dispose()
    limit = TIMES_ITS_COST * cost + OVERHEAD_SECONDS
    assert max(bad, back) <= limit, f"{bad:.1f} s and {back:.1f} s, where the first making took {cost:.1f} s"
    return f"made anew {bad:.1f} s after the mark, {back:.1f} s after it was taken back (at first {cost:.1f} s)"


class _LocalPrefect(IdlePrefect):
    """Does what it is asked for at once."""

    def __init__(self, home: Home) -> None:
        super().__init__()
        self._home = home

    def submit(self, flow: str, *, parameters: Mapping[str, Any], **options: object) -> str:
        if flow == "calibrate":
            what = {name: parameters[name] for name in ("set_id", "digest", "attempt")}
            run_locally(self._home, Plan(instrument="testcam", night=NIGHT, configuration="bin1x1", **what))
        return super().submit(flow, parameters=parameters, **options)


def _keep_ticking(dispatcher: Dispatcher, stop: Event) -> None:
    while not stop.wait(min(1.0, dispatcher.seconds_to_wait(now()))):
        dispatcher.tick(now())


def _runs(home: Home) -> list[RunOnRecord]:
    with home.read_session() as session:
        return list_runs(session, instrument="testcam", superseded=True)


def _done_after(home: Home, n: int) -> Any:
    """Return the run that came after so many and is done."""
    return next((one for one in _runs(home)[n:] if one.outcome == "done"), None)


def _hashes(home: Home) -> dict[str, str]:
    """Return the hashes of the pixels of the masters in force, value and uncertainty."""
    with home.read_session() as session:
        masters = list_masters(session, instrument="testcam")
    found = {}
    for one in masters:
        with suppress(FileNotFoundError), fits.open(home.path / one.path) as hdus:
            planes = [hdu.data.tobytes() for hdu in hdus if hdu.is_image and hdu.data is not None]
            found[one.kind] = hashlib.sha256(b"".join(planes)).hexdigest()
    return found
