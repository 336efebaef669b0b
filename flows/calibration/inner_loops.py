"""The inner loops of all measurements, made ready: compiled once for a machine and version, where that can be kept.

``make setup`` runs this module, so that no result waits for the compiler later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from rich.progress import track

from ccdcore.combining import combine
from ccdcore.numerics import histogram
from ccdcore.photon_transfer import measure
from ccdcore.trends import control_chart

LOOPS: Mapping[str, Callable[[], None]] = {
    "combine": combine.warm_up,
    "trends": control_chart.warm_up,
    "measure": measure.warm_up,
    "read": histogram.warm_up,
}
"""What makes each ready, the longest to compile in front."""

SAID = "compiling inner loops, once for this machine and version"


def ready(progress: Callable[[str, int, int], None] = lambda *_: None) -> None:
    """Compile all inner loops in this process, or load what was compiled before.

    Parameters
    ----------
    progress : callable, optional
        Told what is being done, how much of it is done, and how much there is.
    """
    for number, of_one in enumerate(LOOPS.values()):
        progress(SAID, number, len(LOOPS))
        of_one()


def main() -> None:
    """Compile all of them for later processes, as many at a time as there are processors."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for done in track([pool.submit(one) for one in LOOPS.values()], SAID):
            done.result()


if __name__ == "__main__":
    main()
