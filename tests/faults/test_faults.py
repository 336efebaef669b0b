"""The short version of every goal; ``make faults`` measures them in full."""

import pytest

from tests.faults.goals import CannotRunError, Goal, goals


@pytest.mark.parametrize("goal", goals(), ids=lambda goal: goal.module.rpartition(".")[2])
def test_goal(goal: Goal) -> None:
    try:
        figure = goal.run(full=False)
    except CannotRunError as error:
        pytest.skip(str(error))
    assert figure
