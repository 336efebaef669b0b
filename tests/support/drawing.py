"""Runs whose pictures nobody looks at."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from flows.calibration import engine
from flows.products import trends


@contextmanager
def no_pictures() -> Iterator[None]:
    """Let the local engine draw nothing: pictures take most of the time of a small set."""
    steps = [step for step in engine.STEPS if "picture" not in step.name]
    assert len(steps) == len(engine.STEPS) - 1
    with patch.object(engine, "STEPS", steps), patch.object(trends, "trend_png", return_value=b""):
        yield
