"""Limits in seconds that hold on any machine: longer by as much as it is slower than usual, of itself or just now."""

import subprocess
import sys
import time
from functools import cache

LIBRARIES = sys.executable, "-c", "import numpy, sqlalchemy.orm, pydantic, httpx, astropy.io.fits"
USUAL_SECONDS = 1.2
"""What importing them takes where nothing else is done, on a machine that holds what is promised."""

PROCESSES = 3
"""So many of the service are at work at once, and slow each other down on a busy machine; what is imported is one."""

LONG = 600.0
"""Seconds to wait for what must come. Only where it does not, so many pass."""

FIGURES: list[str] = []
"""What was held against a limit: for the summary."""


def hold(what: str, seconds: float, limit: float) -> None:
    """Hold a time against its limit, both in seconds."""
    slow = max(_at_first(), slowness()) if seconds > limit else 1.0
    slow = 1 + PROCESSES * (slow - 1)
    FIGURES.append(f"{what}: {seconds:.1f} s (limit {limit:g} s{f' × {slow:.1f}' if slow > 1 else ''})")
    assert seconds <= limit * slow, FIGURES[-1]


def slowness() -> float:
    """Return how many times as long as usual things take here and now; 1 where it is less."""
    began = time.monotonic()
    subprocess.run(LIBRARIES, check=True)
    return max(1.0, (time.monotonic() - began) / USUAL_SECONDS)


@cache
def _at_first() -> float:
    return slowness()
