"""What `benchmarks.archive` measures, each in a process of its own: `process` of a folder, or its science alone."""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any


def work(home: Path, frames: Path) -> dict[str, Any]:
    """Do what `ccdwatch process` does; return seconds of the processor for each set, and where they went."""
    # Here, since readers, which are forked, import this module.
    from benchmarks.archive_sampling import sampling
    from flows.commands.process import process
    from flows.home.home import open_home

    opened, at = open_home(home), dict[int, float]()

    def note(what: str, number: int, total: int) -> None:
        if what != "reading frames":
            at.setdefault(number, time.process_time())
            at[total] = time.process_time()

    began = time.process_time()
    with sampling() as found:
        failed = process(opened, [frames], progress=note)["failed"]
    at[max(at)] = ended = time.process_time()
    opened.engine.dispose()
    sets = [at[after] - at[before] for before, after in pairwise(sorted(at))]
    answer = {"began": began, "seconds": ended, "sets": sets, "failed": failed}
    return {**answer, "places": found.places, "stacks": sorted(found.stacks.items())}


def science(home: Path, most: int) -> dict[str, Any]:
    """Measure and combine the frames of some sets without a home; return seconds of the processor of each set."""
    from benchmarks.archive_science import measure_and_combine
    from ccdcore.io.read import measure_frame
    from db.frames.series import set_frames
    from db.runs.sets import set_summaries
    from flows.home.home import read_home

    opened = read_home(home)
    with opened.read_session() as session:
        host = opened.settings.host
        found = [set_frames(session, one.id, host=host) for one in set_summaries(session, host=host)[: most + 1]]
    taken = []
    for frames in found:
        began = time.process_time()
        for frame in frames:
            measure_frame(frame.path)
        registered = time.process_time()
        measure_and_combine(frames)
        taken.append((registered - began, time.process_time() - registered))
    return {"sets": taken[1:]}  # the first loads what was compiled


if __name__ == "__main__":
    what, home, argument = sys.argv[1:]
    answer = work(Path(home), Path(argument)) if what == "work" else science(Path(home), int(argument))
    json.dump(answer, sys.stdout)
