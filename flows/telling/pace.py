"""When a receiver is tried again."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic

from flows.retries import NOTICE


@dataclass(slots=True)
class Pace:
    """Pauses between messages to each receiver, by a clock that nobody can put right.

    Parameters
    ----------
    least_s : float
        After a message that was taken, in seconds; after others they grow.
    """

    least_s: float = 0.0
    _next: dict[str, float] = field(default_factory=dict)
    _failures: dict[str, int] = field(default_factory=dict)

    def is_due(self, receiver: str) -> bool:
        """Whether it may be sent something."""
        return monotonic() >= self._next.get(receiver, 0.0)

    def note(self, receiver: str, *, was_taken: bool) -> None:
        """Note what became of a message."""
        failures = 0 if was_taken else self._failures.get(receiver, 0) + 1
        self._failures[receiver] = failures
        self._next[receiver] = monotonic() + (NOTICE.after(failures) if failures else self.least_s)
