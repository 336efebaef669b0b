"""`affected`: what would be calibrated otherwise now."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ccdcore.association.facts import KINDS
from db.application.affected import Affected, affected
from flows.products.figures import complete_figures

if TYPE_CHECKING:
    from flows.home.home import Home


def affected_rows(home: Home) -> list[dict[str, Any]]:
    """Return a row for each thing that a calibrated frame would now get another of, as plain JSON values.

    That is a master of a ``kind``, with the number of both; or its ``gain`` or ``read_noise`` in electrons, with both
    values, mean of the amplifiers.
    """
    complete_figures(home)
    with home.read_session() as session:
        found = affected(session, recipes=home.settings.recipes)
    return [
        {"output": str(home.path / one.calibrated.path), "frame_id": one.calibrated.frame_id, "kind": kind}
        | dict.fromkeys(("master_id", "now_master_id", "value", "now_value"))
        | differs
        for one in found
        for kind, differs in [*_masters(one), *_readouts(one)]
    ]


def _masters(one: Affected) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in KINDS:
        was, now = one.calibrated.masters.get(kind), one.now.get(kind)
        if was != now:
            yield kind, {"master_id": was, "now_master_id": now}


def _readouts(one: Affected) -> Iterator[tuple[str, dict[str, Any]]]:
    used = one.calibrated.readout
    if used is None:
        return
    for quantity, field in (("gain", "gain_e_per_adu"), ("read_noise", "read_noise_e")):
        was, now = ({name: getattr(of, field) for name, of in some.items()} for some in (used, one.readout))
        if was != now:
            yield quantity, {"value": _mean(was.values()), "now_value": _mean(now.values())}


def _mean(values: Collection[float]) -> float | None:
    return fmean(values) if values else None
