"""How flows are made known to Prefect, and what the process of a flow run gets of them."""

from datetime import date
from typing import Any

import cloudpickle
import pytest
from prefect import Flow

from flows.orchestration.deployments import in_googles_style
from flows.upkeep.audit import audit
from flows.upkeep.backfill import backfill
from flows.upkeep.report import report
from flows.upkeep.science import science


def test_prefect_finds_what_each_parameter_is() -> None:
    parameters = "set_id : int\n    The set,\n    as shown.\nhome : str, optional\n    Whose.\n"
    doc = f"Do it.\n\nParameters\n----------\n{parameters}\nReturns\n-------\nState\n"
    assert in_googles_style(doc) == "Do it.\n\nArgs:\n    set_id: The set, as shown.\n    home: Whose."


@pytest.mark.parametrize(
    ("flow", "name", "given", "read"),
    [
        (audit, "home", "a", "a"),
        (backfill, "since", "2022-09-19", date(2022, 9, 19)),
        (report, "month", "2022-09-19", date(2022, 9, 19)),
        (science, "frame_ids", ["1", 2], [1, 2]),
    ],
    ids=lambda one: one.name if isinstance(one, Flow) else "",
)
def test_parameters_are_read_where_a_flow_runs(flow: Flow[..., Any], name: str, given: Any, read: Any) -> None:
    in_its_process = cloudpickle.loads(cloudpickle.dumps(flow))
    assert in_its_process.validate_parameters({name: given})[name] == read
    assert in_its_process.validate_parameters({})[name] is None
