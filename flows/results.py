"""What `process` answers: the standing results of some sets, as plain JSON values."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from db.results import Verdict
from db.rows import plain
from db.runs import MasterRow, MeasurementRow, RunRow, run_inputs, run_masters, run_measurements, standing_runs
from db.trends import judge, limits_of
from flows.home import Home
from flows.settings import Settings

_WORST_FIRST: tuple[Verdict, ...] = ("bad", "suspect", "ok", "unjudged")


def standing_results(home: Home, set_ids: Collection[int]) -> dict[str, list[dict[str, Any]]]:
    """Return the characterisations, masters and frames left out that stand for these sets.

    Returns
    -------
    dict
        ``characterisations``, ``masters`` (without masks of bad pixels) and ``excluded``, each a list of rows by
        column name.
    """
    found: dict[str, list[dict[str, Any]]] = {"characterisations": [], "masters": [], "excluded": []}
    with home.reading() as session:
        for run in standing_runs(session, set_ids):
            measured = run_measurements(session, run.id)
            found["characterisations"] += _characterisations(home.settings, run, measured)
            found["masters"] += [_master(home, run, row) for row in run_masters(session, run.id) if row.kind != "mask"]
            found["excluded"] += [
                {"path": str(one.frame.path), "reason": one.excluded}
                for one in run_inputs(session, run.id)
                if one.excluded is not None
            ]
    return {name: [plain(row) for row in rows] for name, rows in found.items()}


def verdict_of(settings: Settings, instrument: str, measured: Iterable[MeasurementRow]) -> Verdict:
    """Return the worst verdict on some values, by the limits that the configuration has now."""
    specs = [entry.spec for entry in settings.instrument if entry.name == instrument]
    spec = {str(quantity): limits.model_dump() for spec in specs for quantity, limits in spec.items()}
    verdicts = {
        judge(row.value, limits=limits_of(spec, quantity=row.quantity, unit=row.unit), remark=row.remark)
        for row in measured
    }
    return next((verdict for verdict in _WORST_FIRST if verdict in verdicts), "unjudged")


def _characterisations(settings: Settings, run: RunRow, measured: Collection[MeasurementRow]) -> list[dict[str, Any]]:
    rows = []
    for amplifier in dict.fromkeys(row.amplifier for row in measured):
        of = {row.quantity: row for row in measured if row.amplifier == amplifier}
        gain, read_noise, adu = of.get("gain"), of.get("read_noise"), of["read_noise_adu"]
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
                "method": adu.method,
                "method_reason": gain and gain.details.get("reason"),
                **{name: adu.details[name] for name in ("n_bias", "n_flat", "n_flat_pairs")},
                "notes": (read_noise or adu).details["notes"],
                "verdict": verdict_of(settings, run.instrument, of.values()),
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
        "n_combined": row.n_combined,
        "n_excluded": row.n_excluded,
        "verdict": row.verdict,
        "remark": row.remark,
        "engine": run.engine,
        "flow_run_id": run.flow_run_id,
        "master_id": row.id,
    }
