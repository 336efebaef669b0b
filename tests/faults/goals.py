"""Finding the goals: ``goal_NN_name.py``, each with ``run(full: bool) -> str``.

``run`` returns a line with the size of its sample and the figure, and raises AssertionError where the goal is missed.
The full version may take an hour and is meant for ``make faults``; the short one takes seconds, on the same code.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path


class CannotRunError(Exception):
    """This machine lacks what a goal needs: a program, or a right."""


@dataclass(frozen=True)
class Goal:
    """One goal.

    Parameters
    ----------
    number : int
        As in the table of ``docs/reliability.md``.
    module : str
        Full name of its module.
    """

    number: int
    module: str

    @property
    def title(self) -> str:
        """The first line of the module's docstring."""
        return str(importlib.import_module(self.module).__doc__).partition("\n")[0]

    def run(self, *, full: bool) -> str:
        """Measure; return the figure in words."""
        return str(importlib.import_module(self.module).run(full))


def goals() -> list[Goal]:
    """Return all goals, by their number."""
    found = sorted(path.stem for path in Path(__file__).parent.glob("goal_*.py"))
    return [Goal(int(name.split("_")[1]), f"tests.faults.{name}") for name in found]
