"""Pictures of runs that were made without: drawn when somebody looks at them, by a process that ends with its work."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from threading import Lock, Thread

from db.runs.runs import runs_of
from flows.home.home import Home
from flows.home.processes import now
from flows.runs.pictures import lacks_pictures, titled_pictures

logger = logging.getLogger(__name__)

_DRAWS = "flows.calibration.on_demand"
"""A program: drawing takes long to load and much memory, which the pages are to do without."""
SECONDS = 120.0
"""How long the pictures of a run may take, of large frames on a slow disk."""


class Drawer:
    """Draws the pictures of runs that lack them, one run at a time, while pages say that they are being drawn.

    Parameters
    ----------
    home : Home
        The open home.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = Lock()
        self._drawn_now: int | None = None
        self._in_vain: set[int] = set()

    def pictures(self, run_id: int) -> list[tuple[str, Path]] | None:
        """Return what `flows.runs.pictures.titled_pictures` does; None where they are not drawn yet.

        Asking lets them be drawn. Nobody is waited for: whoever asks while those of another run are drawn gets a turn
        by asking again, as pages do.
        """
        with self._lock:
            if self._drawn_now == run_id:  # some may lie there already
                return None
            if not self._is_due(run_id):
                return titled_pictures(self._home, run_id)
            if self._drawn_now is None:
                self._drawn_now = run_id
                Thread(target=self._draw, args=(run_id,), name=f"pictures of run {run_id}", daemon=True).start()
        return None

    def _is_due(self, run_id: int) -> bool:
        if run_id in self._in_vain:
            return False
        with self._home.read_session() as session:
            return any(lacks_pictures(self._home, run, now()) for run in runs_of(session, {run_id}))

    def _draw(self, run_id: int) -> None:
        command = [sys.executable, "-m", _DRAWS, str(self._home.path), str(run_id)]
        why = "no word"
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
            why = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or [why])[-1]
        except (OSError, subprocess.TimeoutExpired) as error:
            why = str(error)
        finally:
            if why:
                self._in_vain.add(run_id)
                logger.warning("the pictures of run %d could not be drawn: %s", run_id, why)
            self._drawn_now = None
