"""How far a long run has come, as a bar in the Prefect UI."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import cast
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact

LONG_SECONDS = 20.0
"""A run that has taken so long has a bar; of shorter ones the tasks say enough."""


class Progress:
    """The bar of a run.

    Parameters
    ----------
    n_steps : int
        Of the run.
    """

    def __init__(self, *, n_steps: int) -> None:
        self._n_steps = n_steps
        self._n_done = 0
        self._began = time.monotonic()
        self._shown: UUID | None = None

    def step(self, name: str) -> None:
        """Say that a step is over."""
        self._n_done += 1
        percent = 100.0 * self._n_done / self._n_steps
        words = f"{self._n_done} of {self._n_steps} steps, the last: {name}"
        with suppress(httpx.HTTPError):  # the work goes on where Prefect is away
            if self._shown is not None:
                update_progress_artifact(self._shown, progress=percent, description=words)
            elif time.monotonic() - self._began > LONG_SECONDS and percent < 100.0:
                self._shown = cast("UUID", create_progress_artifact(progress=percent, description=words))
