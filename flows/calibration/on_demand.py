"""Pictures of a run that was made without, drawn in a process of its own: `python -m flows.calibration.on_demand`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from db.runs.inputs import NewInput
from flows.calibration.figures import draw_pictures
from flows.home.home import read_home
from flows.products.trends import draw_trends
from flows.runs.run import Run

logger = logging.getLogger(__name__)


class _Over(Run):
    """A run that is over: what fails while it is drawn says nothing of its results, and does not come on record."""

    def put_inputs(self, inputs: Sequence[NewInput]) -> None:
        """Put nothing on record."""

    def put_lack(self, product: str, reason: str, *, is_failure: bool) -> None:
        """Say it in the log only."""
        logger.warning("run %d: no %s: %s", self.id, product, reason)


def draw(path: Path, run_id: int) -> None:
    """Draw all pictures of a run of the home at a path, as they would have been drawn with it."""
    home = read_home(path)
    run = _Over(home, run_id)
    draw_pictures(run)
    if run.measured:
        draw_trends(run, until=max(row.observed_at for row in run.measured) + timedelta(seconds=1))
    home.engine.dispose()


if __name__ == "__main__":
    draw(Path(sys.argv[1]), int(sys.argv[2]))
