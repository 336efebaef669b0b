"""What Prefect is asked for."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from flows.home.home import home_id, open_home
from flows.orchestration.requests import ask_for_ingest, ask_for_run
from flows.runs.plan import Plan


class Prefect:
    """Keeps what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def submit(self, flow: str, **request: Any) -> str:
        self.asked.append({"flow": flow, **request})
        return f"f{len(self.asked)}"


def test_runs_are_asked_for_by_name_tags_and_a_key_of_their_own(tmp_path: Path) -> None:
    home, prefect = open_home(tmp_path / "home"), Prefect()
    plan = Plan(7, "m2-ml", date(2022, 9, 19), "bin1x1", "d1", 2)
    ids = [
        ask_for_run(home, prefect, plan),  # type: ignore[arg-type]
        ask_for_run(home, prefect, plan, pictures=True),  # type: ignore[arg-type]
        ask_for_ingest(home, prefect, n_files=1, at=datetime(2022, 9, 19, tzinfo=UTC)),  # type: ignore[arg-type]
    ]
    assert ids == ["f1", "f2", "f3"]
    run, pictures, ingest = prefect.asked
    parameters = {"home": home_id(home.path), "set_id": 7, "digest": "d1", "attempt": 2}
    for one in (run, pictures):
        assert (one["flow"], one["parameters"], one["tags"]) == ("calibrate", parameters, ["m2-ml", "2022-09-19"])
    assert [one["name"] for one in prefect.asked] == [
        "calibrate m2-ml 2022-09-19 bin1x1",
        "pictures m2-ml 2022-09-19 bin1x1",
        "ingest 1 file",
    ]
    assert run["idempotency_key"] == f"{home.path}:7:d1:a2"
    assert pictures["idempotency_key"] == f"{home.path}:7:d1:a2:pictures"
    assert (ingest["parameters"], ingest["tags"]) == ({"home": home_id(home.path)}, ["ingest"])
