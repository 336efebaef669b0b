"""What is attached to a flow run beside its report: tables, and links where the pages are known."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ccdcore.figures.style import thumbnail
from ccdcore.headers.instrument import FrameType
from db.runs.inputs import NewInput, record_inputs
from db.runs.masters import record_master
from db.runs.measurements import record_measurements
from flows.home.home import Home, open_home
from flows.home.output_paths import picture_path
from flows.orchestration.shown import artifacts, progress
from flows.orchestration.shown.report import MOST_ROWS, report
from tests.support.on_record import add_frame, begin_run, gain, hash_of, master, set_of

Made = list[tuple[str, Any]]
DETAILS = {"n_bias": 2, "n_flat": 0, "n_flat_pairs": 0, "notes": []}
STATISTICS = {"mean": 300.0, "median": 300.1, "std": 3.0, "mad": 2.9}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """What was handed to Prefect: (key, content)."""
    found: Made = []
    for kind in ("markdown", "table"):
        monkeypatch.setattr(artifacts, f"create_{kind}_artifact", lambda data, key, **_: found.append((key, data)))
    monkeypatch.setattr(
        artifacts, "create_link_artifact", lambda link, words, key, **_: found.append((key, (link, words)))
    )
    return found


def on_record(tmp_path: Path, *, public_url: str | None, n_left_out: int = 1) -> tuple[Home, int]:
    """A run of two biases, one master, and flats that were left out."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "ccdwatch.toml").write_text(f'[web]\npublic_url = "{public_url}"\n' if public_url else "")
    home = open_home(folder)
    with home.write_session() as session:
        ids = [add_frame(session, f"b{n}") for n in range(2)]
        for n in range(n_left_out):
            add_frame(session, f"f{n}", FrameType.FLAT)
        run_id = begin_run(session, set_of(session, ids[0]))
        inputs = [
            NewInput("flat", hash_of(f"f{n}"), f"/data/f{n}.fits", excluded="a <cloud>") for n in range(n_left_out)
        ]
        record_inputs(session, run_id=run_id, inputs=inputs)
        record_measurements(session, run_id=run_id, measurements=[gain(1.932, uncertainty=0.0022, details=DETAILS)])
        record_master(session, run_id=run_id, master=master(statistics=STATISTICS))
    return home, run_id


def test_results_and_frames_left_out_are_tables_with_the_reasons(tmp_path: Path, made: Made) -> None:
    artifacts.publish(*on_record(tmp_path, public_url=None))
    found = dict(made)
    assert set(found) == {f"{name}-m2-ml-bin1x1" for name in ("report", "results", "left-out")}
    measured, combined = found["results-m2-ml-bin1x1"]
    assert measured["value"].replace("\\", "") == "1.9320 ± 0.0022"
    assert (measured["unit"].replace("\\", ""), measured["verdict"]) == ("e⁻/ADU", "unjudged")
    assert (combined["result"], combined["value"], combined["verdict"]) == ("master bias", "10", "ok")
    (row,) = found["left-out-m2-ml-bin1x1"]
    assert row == {"file": "f0\\.fits", "as": "flat", "reason": "a &lt;cloud&gt;"}  # cells are Markdown


def test_links_lead_to_the_pages_where_these_are_known(tmp_path: Path, made: Made) -> None:
    home, run_id = on_record(tmp_path, public_url="http://127.0.0.1:4300")
    artifacts.publish(home, run_id)
    links = {key: content[0] for key, content in made if isinstance(content, tuple)}
    assert links == {
        "pages-m2-ml-bin1x1": f"http://127.0.0.1:4300/runs/{run_id}",
        "master-bias-m2-ml-bin1x1": "http://127.0.0.1:4300/masters/1",
    }


def test_a_long_table_says_how_much_more_there_is(tmp_path: Path, made: Made) -> None:
    artifacts.publish(*on_record(tmp_path, public_url=None, n_left_out=MOST_ROWS + 3))
    rows = dict(made)["left-out-m2-ml-bin1x1"]
    assert len(rows) == MOST_ROWS + 1
    assert rows[-1]["file"] == "… and 3 more rows"


def drawn(size: tuple[int, int] = (900, 600)) -> bytes:
    stream = io.BytesIO()
    Image.effect_noise(size, 60).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("public_url", [None, "http://127.0.0.1:4300"])
def test_pictures_are_seen_small_without_the_pages_and_lead_there(tmp_path: Path, public_url: str | None) -> None:
    home, run_id = on_record(tmp_path, public_url=public_url)
    picture = home.path / picture_path(run_id=run_id, name="photon transfer")
    picture.parent.mkdir(parents=True)
    picture.write_bytes(drawn())
    picture.with_name("broken.png").write_bytes(b"\x89PNG")
    shown = report(home, run_id)
    assert shown.count("data:image/png;base64,") == 1
    assert "### broken\n\ncannot be read" in shown
    assert (f"]({public_url}/runs/{run_id}/pictures/{picture.name})" in shown) == (public_url is not None)


def test_a_thumbnail_is_a_picture_and_much_smaller() -> None:
    whole = drawn()
    small = thumbnail(whole)
    assert small is not None
    with Image.open(io.BytesIO(small)) as picture:
        assert picture.size == (480, 320)
    assert len(small) < len(whole) / 3
    assert thumbnail(whole[:-200]) is None
    assert thumbnail(b"no picture") is None


def test_only_a_long_run_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 1.0, 30.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    said: list[tuple[str, float]] = []
    monkeypatch.setattr(
        progress, "create_progress_artifact", lambda progress, **_: said.append(("new", progress)) or "a1"
    )
    monkeypatch.setattr(progress, "update_progress_artifact", lambda key, progress, **_: said.append((key, progress)))
    bar = progress.Progress(n_steps=4)
    for name in ("one", "two", "three", "four"):
        bar.step(name)
    assert said == [("new", 50.0), ("a1", 75.0), ("a1", 100.0)]
