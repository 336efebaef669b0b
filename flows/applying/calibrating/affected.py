"""`affected`: what would be calibrated otherwise now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ccdcore.association.facts import KINDS
from db.application.affected import affected
from flows.products.figures import complete_figures

if TYPE_CHECKING:
    from flows.home.home import Home


def affected_rows(home: Home) -> list[dict[str, Any]]:
    """Return a row for each kind of master that a calibrated frame would now get another of, as plain JSON values."""
    complete_figures(home)
    with home.read_session() as session:
        found = affected(session, recipes=home.settings.recipes)
    return [
        {
            "output": str(home.path / one.calibrated.path),
            "frame_id": one.calibrated.frame_id,
            "kind": kind,
            "master_id": one.calibrated.masters.get(kind),
            "now_master_id": one.now.get(kind),
        }
        for one in found
        for kind in KINDS
        if one.calibrated.masters.get(kind) != one.now.get(kind)
    ]
