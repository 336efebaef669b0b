"""How many runs are asked for that register files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from db.engine import make_engine
from flows.config.settings import load_settings
from flows.home.home import Home, open_home
from flows.home.processes import now
from flows.prefect_server.client import FlowRunState
from flows.service.registrations import MANY, MOST, Registrations


class Prefect:
    """A server that takes any request; what becomes of runs is told by who asks it."""

    def __init__(self) -> None:
        self.states: dict[str, FlowRunState] = {}

    def state(self, flow_run_id: str) -> FlowRunState:
        return self.states[flow_run_id]

    def submit(self, *_: object, **__: object) -> str:
        name = f"f{len(self.states)}"
        self.states[name] = FlowRunState("SCHEDULED", "")
        return name

    def let_begin(self) -> None:
        self.states = dict.fromkeys(self.states, FlowRunState("RUNNING", ""))


@pytest.fixture
def of_several(postgresql_url: str, tmp_path: Path) -> Iterator[Home]:
    """A home that may be on several machines."""
    (tmp_path / "ccdwatch.toml").write_text(f'[database]\nurl = "{postgresql_url}"\n')
    home = Home(load_settings(tmp_path), make_engine(postgresql_url))
    yield home
    home.engine.dispose()


def test_further_machines_are_asked_to_help_with_many_files_as_long_as_there_are_any(of_several: Home) -> None:
    prefect = Prefect()
    registrations = Registrations(of_several, prefect)  # type: ignore[arg-type]
    asked = []
    for _ in range(6):
        registrations.ask(10 * MANY, now())
        registrations.ask(10 * MANY, now())  # none is asked for before the last one has found a machine
        asked.append(len(prefect.states))
        prefect.let_begin()
    assert asked == [1, 2, 3, 4, 4, 4]
    assert MOST == 4


def test_one_registers_few_files(of_several: Home) -> None:
    prefect = Prefect()
    registrations = Registrations(of_several, prefect)  # type: ignore[arg-type]
    for _ in range(3):
        registrations.ask(MANY - 1, now())
        prefect.let_begin()
    assert len(prefect.states) == 1


def test_one_registers_all_where_there_is_one_machine(tmp_path: Path) -> None:
    prefect = Prefect()
    registrations = Registrations(open_home(tmp_path), prefect)  # type: ignore[arg-type]
    for _ in range(3):
        registrations.ask(10 * MANY, now())
        prefect.let_begin()
    assert len(prefect.states) == 1
