"""What the process that runs flows does as it starts."""

import json
from dataclasses import asdict
from pathlib import Path

from flows.orchestration.runner import _mark_orphans
from flows.runs import life
from flows.runs.life import Sign


class Prefect:
    """A server that believes three runs to be under way."""

    def __init__(self) -> None:
        self.crashed: list[str] = []

    def under_way(self, _home: Path) -> list[str]:
        return ["before", "elsewhere", "unheard of"]

    def mark_crashed(self, flow_run_id: str, _message: str) -> None:
        self.crashed.append(flow_run_id)


def test_runs_of_other_machines_are_not_ended_by_one_that_starts(tmp_path: Path) -> None:
    for host, flow_run_id in ((life.HOST, "before"), ("another", "elsewhere")):
        file = life._file_of(tmp_path, host, 1)
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(asdict(Sign(host, 1, 0.0, flow_run_id, 3))))
    _mark_orphans(tmp_path, prefect := Prefect())  # type: ignore[arg-type]
    assert prefect.crashed == ["before", "unheard of"]
