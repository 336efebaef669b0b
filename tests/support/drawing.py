"""Runs whose pictures nobody looks at."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from flows import local, trending


@contextmanager
def no_pictures() -> Iterator[None]:
    """Let the local engine draw nothing: pictures take most of the time of a small set."""
    steps = [step for step in local.STEPS if "picture" not in step.name]
    assert len(steps) == len(local.STEPS) - 1
    with patch.object(local, "STEPS", steps), patch.object(trending, "trend_png", return_value=b""):
        yield
