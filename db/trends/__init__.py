"""What was measured, over the years."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from db.trends.history import read_trends

__all__ = ["read_trends"]


def __getattr__(name: str) -> Any:
    """Import what notebooks ask for when it is asked for: the light processes need none of it."""
    if name != "read_trends":
        raise AttributeError(f"module 'db.trends' has no attribute {name!r}")
    return import_module("db.trends.history").read_trends
