"""Where the processor time of a process goes: its stack is looked at while it works, each hundredth of a second."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

_EVERY_S = 0.01
_OF_DATABASE = f"{os.sep}sqlalchemy{os.sep}", str(Path(__file__).parents[1] / "db")
_PICTURES = {"draw_pictures", "draw_trend"}
_PLACES = {
    "judge_frames": "series health",
    "measure": "measuring",
    "make_master_bias": "combining",
    "make_master_darks": "combining",
    "make_master_flats": "combining",
    "measure_response": "response of pixels",
    "make_bad_pixel_mask": "bad pixels",
    "refresh_references": "references",
    "complete_figures": "figures of masters",
    "release": "release",
    "judge_trends": "trends",
    "plans_of": "planning",
    "begin_run": "planning",
    "find_files": "finding files",
    "_register": "registration",
    "_answer": "answer",
}


@dataclass
class Sampled:
    """Seconds of the processor by what was done, and by the whole stack.

    Parameters
    ----------
    places : dict
        By the name of what was done.
    stacks : dict
        By functions, the outermost first.
    """

    places: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    stacks: dict[str, float] = field(default_factory=lambda: defaultdict(float))


@contextmanager
def sampling() -> Iterator[Sampled]:
    """Look at the main thread until the end of the block; what other threads take is counted to what it does."""
    found, last = Sampled(), time.process_time()

    def look(_signal: int, frame: FrameType | None) -> None:
        nonlocal last
        took, last = time.process_time() - last, time.process_time()
        stack = _stack(frame)
        found.places[_place(stack)] += took
        found.stacks[";".join(f"{Path(file).name}:{name}" for file, name in stack)] += took

    before = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, _EVERY_S, _EVERY_S)
    try:
        yield found
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _stack(frame: FrameType | None) -> list[tuple[str, str]]:
    stack = []
    while frame is not None:
        stack.append((frame.f_code.co_filename, frame.f_code.co_name))
        frame = frame.f_back
    return stack[::-1]


def _place(stack: list[tuple[str, str]]) -> str:
    names = [name for _, name in stack]
    if not _PICTURES.isdisjoint(names):
        return "pictures"
    of_steps = [_PLACES[name] for name in names if name in _PLACES]
    place = of_steps[-1] if of_steps else "other"
    is_database = any(part in file for file, _ in stack for part in _OF_DATABASE)
    return f"{place}: database" if is_database else place
