"""Runs made without pictures get the same ones when somebody looks at them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from subprocess import CompletedProcess
from threading import Event

import pytest

from db.runs.runs import RunOnRecord, list_runs
from flows.calibration import on_demand
from flows.commands.process import process
from flows.home.home import Home, open_home
from flows.home.output_paths import picture_path
from flows.home.processes import now
from flows.runs.pictures import are_drawn, picture_folder, pictures_of, without_pictures
from flows.service import drawer
from flows.service.web_server import record_of
from tests.support.service import wait_for
from tests.support.simulate import simple_night
from tests.support.site import running_browser, running_site
from web.dependencies import Record

DRAWN_WITHIN = 120.0


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night")
    simple_night(folder, n_bias=3, n_flat=3)
    return folder


def made_without(home: Path, frames: Path) -> tuple[Home, RunOnRecord]:
    opened = open_home(home)
    assert process(opened, [frames], pictures=False)["failed"] == []
    with opened.read_session() as session:
        (run,) = list_runs(session)
    assert not (home / "pictures").exists()
    return opened, run


def seen(record: Record, run_id: int) -> list[tuple[str, Path]]:
    """Return the pictures of a run, asked for again and again as pages do."""
    assert record.pictures(run_id) is None
    assert wait_for(lambda: record.pictures(run_id) is not None, seconds=DRAWN_WITHIN)
    return record.pictures(run_id) or []


def is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process that made a run be gone, which else may be drawing."""
    monkeypatch.setattr("flows.runs.pictures.is_gone", lambda *_: True)


def test_pages_draw_what_a_run_was_made_without(frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = open_home(tmp_path / "with")
    process(both, [frames])
    home, run = made_without(tmp_path / "without", frames)
    record = record_of(home, "127.0.0.1", 80)
    assert record.pictures(run.id) == []
    is_over(monkeypatch)
    shown = seen(record, run.id)
    expected = pictures_of(both, 1)
    assert [path.name for _, path in shown] == [path.name for path in expected]
    assert len(expected) > 6
    alike = picture_path(run_id=1, name="Trend of the gain").name
    of_gain = [path.read_bytes() for _, path in shown if path.name == alike]
    assert of_gain == [path.read_bytes() for path in expected if path.name == alike]
    monkeypatch.setattr(subprocess, "run", None)  # drawn once
    assert record.pictures(run.id) == shown


def test_drawing_later_what_cannot_be_drawn_leaves_the_record_as_it_is(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "night"
    copy.mkdir()
    for path in frames.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    home, run = made_without(tmp_path / "home", copy)
    for path in copy.iterdir():
        path.unlink()
    on_demand.draw(home.path, run.id)
    assert are_drawn(home, run.id)
    assert {path.stem for path in pictures_of(home, run.id)} >= {"Photon-transfer", "Noise-spectrum"}
    with home.read_session() as session:
        assert list_runs(session) == [run]


def test_what_waits_for_somebody_to_look_is_not_asked_of_a_service(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, run = made_without(tmp_path / "home", frames)
    is_over(monkeypatch)
    assert without_pictures(home, now()) == []
    assert not picture_folder(home, run.id).exists()


def test_what_cannot_be_drawn_is_tried_once(frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, run = made_without(tmp_path / "home", frames)
    is_over(monkeypatch)
    monkeypatch.setattr(drawer, "_DRAWS", "flows.no_such_program")
    record = record_of(home, "127.0.0.1", 80)
    assert seen(record, run.id) == []
    monkeypatch.setattr(subprocess, "run", None)
    assert record.pictures(run.id) == []


def test_nobody_waits_for_pictures(frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, run = made_without(tmp_path / "home", frames)
    is_over(monkeypatch)
    at_work, drawn = Event(), Event()

    def draw(*_: object, **__: object) -> CompletedProcess[str]:
        at_work.set()
        drawn.wait(DRAWN_WITHIN)
        return CompletedProcess([], 1, "", "ValueError: too dark")

    monkeypatch.setattr(subprocess, "run", draw)
    record = record_of(home, "127.0.0.1", 80)
    assert record.pictures(run.id) is None
    assert at_work.wait(DRAWN_WITHIN)
    assert record.pictures(run.id) is None  # and is not drawn twice: it would wait here, were it drawn by who asks
    drawn.set()
    assert wait_for(lambda: record.pictures(run.id) == [], seconds=DRAWN_WITHIN)


def test_pictures_come_to_who_looks(frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, run = made_without(tmp_path / "home", frames)
    is_over(monkeypatch)
    with running_site(home.path) as address, running_browser() as browser:
        page = browser.new_page()
        page.goto(f"{address}/runs/{run.id}")
        assert "being drawn" in page.inner_text("#drawing")
        page.wait_for_selector(".pictures img", timeout=1000 * DRAWN_WITHIN)
        assert page.query_selector("#drawing") is None
        assert page.locator(".pictures img").count() == len(pictures_of(home, run.id)) > 6
