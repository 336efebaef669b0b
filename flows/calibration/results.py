"""What `process` answers: the current results of some sets, as plain JSON values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from ccdcore.frames.frame import SeriesFrame
from ccdcore.headers.instrument import FrameType
from ccdcore.quantities import Verdict
from db.runs.inputs import UsedFrame, run_inputs
from db.runs.lacks import LackRow, run_lacks
from db.runs.masters import MasterRow, run_masters
from db.runs.measurements import MeasurementRow, by_amplifier, run_measurements
from db.runs.runs import RunRow, current_runs
from db.schema.rows import plain
from db.trends.history import measured_by
from flows.home.home import Home
from flows.runs.lacks import FOR
from flows.runs.plan import run_name

_WORST_FIRST: tuple[Verdict, ...] = ("bad", "suspect", "ok", "unjudged")


def current_results(home: Home, set_ids: Collection[int]) -> dict[str, list[dict[str, Any]]]:
    """Return the current characterisations, masters and frames left out of these sets.

    Returns
    -------
    dict
        ``characterisations``, ``masters`` (without masks of bad pixels), ``excluded`` (frames, and products that the
        frames do not support) and ``failed`` (products that failed), each a list of rows by column name.
    """
    found: dict[str, list[dict[str, Any]]] = {"characterisations": [], "masters": [], "excluded": [], "failed": []}
    with home.read_session() as session:
        for run in current_runs(session, set_ids):
            measured, masters = run_measurements(session, run.id), run_masters(session, run.id)
            lacks = run_lacks(session, run.id)
            found["characterisations"] += _characterisations(run, measured, verdicts_of(session, run.id))
            found["masters"] += [_master(home, run, row) for row in masters if row.kind != "mask"]
            found["excluded"] += _left_out(run, run_inputs(session, run.id), lacks, is_any_made=bool(masters))
            found["failed"] += [_lack(run, lack) for lack in lacks if lack.is_failure]
    return {name: [plain(row) for row in rows] for name, rows in found.items()}


def _lack(run: RunRow, lack: LackRow) -> dict[str, Any]:
    """Return a product that is not made: it is of the set, which has the run's name, not of one frame."""
    name = run_name(run.instrument, run.night, run.configuration)
    return {"path": name, "product": lack.product, "reason": lack.reason}


def _left_out(
    run: RunRow, inputs: Sequence[UsedFrame], lacks: Sequence[LackRow], *, is_any_made: bool
) -> list[dict[str, Any]]:
    """Return the frames that nothing was made of, those left out of a product of others, and what the set lacks.

    A product that is not made is told once, not of each frame that others were made of.
    """
    not_made = {lack.product for lack in lacks}
    of_product = [one for one in inputs if one.role.startswith(FOR)]
    purposes: dict[str, set[str]] = {}
    for one in of_product:
        purposes.setdefault(one.frame.sha256, set()).add(one.role.removeprefix(FOR))
    idle = {
        one.frame.sha256
        for one in of_product
        if _is_idle(one.frame, purposes[one.frame.sha256], is_any_made=is_any_made)
    }
    of_idle, of_others = (
        {one.role.removeprefix(FOR) for one in of_product if (one.frame.sha256 in idle) is is_idle}
        for is_idle in (True, False)
    )
    rows = []
    for one in (one for one in inputs if one.excluded is not None):
        product = one.role.removeprefix(FOR)
        row = {"path": str(one.frame.path), "reason": one.excluded}
        if product == one.role or one.frame.sha256 in idle:
            rows.append(row)
        elif product not in not_made:
            rows.append({**row, "product": product})
    told = of_idle - of_others
    return rows + [_lack(run, lack) for lack in lacks if not (lack.is_failure or lack.product in told)]


def _is_idle(frame: SeriesFrame, left_out_of: Collection[str], *, is_any_made: bool) -> bool:
    """Whether nothing was made of a frame that was left out of these products; biases are subtracted from others."""
    kind = frame.info.frame_type
    is_measured = kind is not FrameType.DARK and not {"gain", "read noise"} & set(left_out_of)
    is_combined = not any(product.startswith(f"master {kind}") for product in left_out_of)
    return not (is_measured or is_combined or (kind is FrameType.BIAS and is_any_made))


def verdicts_of(session: Session, run_id: int) -> dict[str, Verdict]:
    """Return the worst verdict on what a run measured, by amplifier: as trends and pages judge it."""
    measured = measured_by(session, run_id)
    found: dict[str, set[Verdict]] = {row.amplifier: set() for row in measured}
    for row in measured:
        found[row.amplifier].add(row.verdict)
    return {name: next(verdict for verdict in _WORST_FIRST if verdict in of) for name, of in found.items()}


def _characterisations(
    run: RunRow, measured: Collection[MeasurementRow], verdicts: Mapping[str, Verdict]
) -> list[dict[str, Any]]:
    rows = []
    for amplifier, of in by_amplifier(measured).items():
        gain, read_noise, adu = of.get("gain"), of.get("read_noise"), of.get("read_noise_adu")
        if adu is None:
            continue
        corrected = of.get("corrected_gain")
        rows.append(
            {
                "instrument": run.instrument,
                "configuration": run.configuration,
                "night": run.night,
                "amplifier": amplifier,
                "gain_e_per_adu": gain and gain.value,
                "gain_uncertainty": gain and gain.uncertainty,
                "gain_systematic_uncertainty": gain and gain.details.get("systematic_uncertainty"),
                "gain_corrected_e_per_adu": corrected and corrected.value,
                "gain_corrected_uncertainty": corrected and corrected.uncertainty,
                "read_noise_e": read_noise and read_noise.value,
                "read_noise_uncertainty": read_noise and read_noise.uncertainty,
                "read_noise_adu": adu.value,
                "read_noise_adu_uncertainty": adu.uncertainty,
                "method": (gain or adu).method,
                "method_reason": gain and gain.details.get("reason"),
                **{name: adu.details[name] for name in ("n_bias", "n_flat", "n_flat_pairs")},
                "notes": (read_noise or adu).details["notes"],
                "verdict": verdicts[amplifier],
                "engine": run.engine,
                "flow_run_id": run.flow_run_id,
                "gain_id": gain and gain.id,
                "read_noise_id": read_noise.id if read_noise else adu.id,
            }
        )
    return rows


def _master(home: Home, run: RunRow, row: MasterRow) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "path": str(home.path / row.path),
        "sha256": row.sha256,
        "instrument": run.instrument,
        "configuration": run.configuration,
        "night": run.night,
        "filter": row.filter,
        "exposure_s": row.exposure_s,
        "temperature_c": row.temperature_c,
        "n_combined": row.n_combined,
        "n_excluded": row.n_excluded,
        "verdict": row.verdict,
        "remark": row.remark,
        "certified": row.certified,
        "certified_reason": row.certified_reason,
        "engine": run.engine,
        "flow_run_id": run.flow_run_id,
        "master_id": row.id,
    }
