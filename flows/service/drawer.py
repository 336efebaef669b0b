"""Pictures of runs that were made without: drawn when somebody looks at them, by a process that ends with its work."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from threading import Lock

from db.runs.runs import runs_of
from flows.home.home import Home
from flows.home.processes import now
from flows.runs.pictures import lacks_pictures, titled_pictures

logger = logging.getLogger(__name__)

_DRAWS = "flows.calibration.on_demand"
"""A program: drawing takes long to load and much memory, which the pages are to do without."""
SECONDS = 120.0
"""How long the pictures of a run may take, of large frames on a slow disk."""
_PATIENCE_S = 15.0
"""How long who looks waits for the pictures of another run, before the page comes without."""


class Drawer:
    """Draws the pictures of runs that lack them, one run at a time.

    Parameters
    ----------
    home : Home
        The open home.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._at_work = Lock()
        self._in_vain: set[int] = set()

    def pictures(self, run_id: int) -> list[tuple[str, Path]]:
        """Return what `flows.runs.pictures.titled_pictures` does, drawn now where they were not with the run."""
        if self._is_due(run_id) and self._at_work.acquire(timeout=_PATIENCE_S):
            try:
                if self._is_due(run_id):  # whoever had the lock may have drawn them
                    self._draw(run_id)
            finally:
                self._at_work.release()
        return titled_pictures(self._home, run_id)

    def _is_due(self, run_id: int) -> bool:
        if run_id in self._in_vain:
            return False
        with self._home.read_session() as session:
            return any(lacks_pictures(self._home, run, now()) for run in runs_of(session, {run_id}))

    def _draw(self, run_id: int) -> None:
        command = [sys.executable, "-m", _DRAWS, str(self._home.path), str(run_id)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
            why = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no word"])[-1]
        except (OSError, subprocess.TimeoutExpired) as error:
            why = str(error)
        if why:
            self._in_vain.add(run_id)
            logger.warning("the pictures of run %d could not be drawn: %s", run_id, why)
