"""The report: it says what was found, and what headers and file names say in it does nothing."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image

from ccdcore.headers.instrument import FrameType
from db.runs.inputs import NewInput, record_inputs
from db.runs.lifecycle import finish_run
from db.runs.masters import record_master
from db.runs.measurements import record_measurements
from flows.home.home import Home, open_home
from flows.home.output_paths import picture_path
from flows.orchestration.shown import artifacts
from flows.orchestration.shown.artifacts import publish_registration
from flows.orchestration.shown.report import MOST_ROWS, report, summary, text
from tests.support.on_record import NOON, add_frame, begin_run, gain, hash_of, master, set_of

HOSTILE = [
    "<script>alert(1)</script>",
    "](javascript:alert(1))",
    "[click](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "<https://evil.example>",
    "https://evil.example www.evil.example me@evil.example",
    "a|b|c",
    "line\n\n# heading\n\n* item",
    "`code` **bold** _it_ ~~no~~",
    "&lt;b&gt; &amp;",
    "\\| \\",
    "a\0b\x1b[31m\u202e\r\t",
    "\udcff",
    "1. one",
    "    indented",
    "---",
]
OURS = {"h1", "h2", "h3", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "p", "strong", "img", "code"}


class Tags(HTMLParser):
    """The tags and the words of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def rendered(markdown: str) -> Tags:
    """Render with everything on that a page may have on, HTML too."""
    page = Tags()
    page.feed(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))
    return page


def shown(value: str) -> str:
    """What a value should look like: the same, on one line, without controls."""
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())


@given(st.text())
@example("www.evil.example")
@pytest.mark.parametrize("around", ["{}", "* {}", "| a |\n| - |\n| {} |"])
def test_any_text_shows_as_it_is_and_does_nothing(around: str, value: str) -> None:
    page = rendered(around.format(f"x {text(value)} x"))
    assert {tag for tag, _ in page.tags} <= {"p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
    assert len([tag for tag, _ in page.tags if tag in {"p", "li", "td"}]) == 1
    assert shown(f"x {value} x") in shown(page.words)


@pytest.mark.parametrize("value", HOSTILE)
def test_nothing_that_could_become_an_address_is_left(value: str) -> None:
    assert not re.search(r"(?<!\\)(://|www\.|@|\]\(|<|javascript:)", text(value))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return open_home(tmp_path / "home")


def recorded(home: Home, *, name: str = "plain", frames: int = 2, **changes: Any) -> int:
    """A run on record whose every text is `name`."""
    path = f"{name.replace('/', ':')}.fits"
    name = name.encode(errors="replace").decode()  # only a path may be any bytes
    with home.write_session() as session:
        ids = [
            add_frame(session, f"f{n}", FrameType.BIAS, path=f"{n}{path}", frame_type_reason=name, filter=name)
            for n in range(frames)
        ]
        run_id = begin_run(session, set_of(session, ids[0]))
        inputs = [NewInput("bias", hash_of(f"f{n}"), f"/data/raw/{n}{path}", excluded=name) for n in range(frames)]
        record_inputs(session, run_id=run_id, inputs=inputs)
        details = {"n_bias": 10, "n_flat": 8, "n_flat_pairs": 4, "notes": [name]}
        amplifier = changes.get("amplifier", name)
        values = [
            gain(details=details, amplifier=amplifier),
            gain(1.5, quantity="read_noise", details=details, amplifier=amplifier),
            gain(2.5, quantity="read_noise_adu", details=details, amplifier=amplifier, uncertainty=None),
            gain(12.0, quantity="bad_pixels", details=details, amplifier=amplifier, uncertainty=None),
        ]
        record_measurements(session, run_id=run_id, measurements=values)
        statistics = {"mean": 300.0, "median": 300.1, "std": 3.0, "mad": 2.9}
        made = master(filter=name, remark=name, statistics=statistics, path=f"masters/{path}")
        record_master(session, run_id=run_id, master=made)
        finish_run(session, run_id=run_id, now=NOON)
    return run_id


def test_the_report_says_what_was_found(home: Home) -> None:
    run_id = recorded(home, amplifier="1")
    picture = home.path / picture_path(run_id=run_id, name="photon transfer")
    picture.parent.mkdir(parents=True)
    Image.new("L", (600, 400)).save(picture)
    page = rendered(report(home, run_id))
    for expected in (
        "m2-ml · 2022-09-19 · bin1x1",
        "0.9700 ± 0.0040",
        "1.5000 ± 0.0040",
        "method binned, 10 biases, 8 flats in 4 pairs",
        "bad pixels: 12 of amplifier 1",
        "photon transfer",
        "Left out",
        "0plain.fits",
        "2022-09-19 12:00:00",
        "masters/plain.fits",
        "Run 1, attempt 1",
    ):
        assert expected in page.words
    (source,) = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert source.startswith("data:image/png;base64,iVBORw")
    assert "unjudged" in page.words


@pytest.mark.parametrize("name", [one for one in HOSTILE if "\0" not in one])
def test_the_report_is_harmless_whatever_headers_and_files_are_called(home: Home, name: str) -> None:
    page = rendered(report(home, recorded(home, name=name)))
    assert {tag for tag, _ in page.tags} <= OURS
    assert not any(attributes for _, attributes in page.tags if "src" in attributes or "href" in attributes)
    plain = open_home(home.path.with_name("plain"))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in rendered(report(plain, recorded(plain))).tags]


def test_a_run_without_results_points_to_the_frames_left_out(home: Home) -> None:
    with home.write_session() as session:
        run_id = begin_run(session, set_of(session, add_frame(session, "b1")))
    assert "No gain and no read noise: see the frames left out." in report(home, run_id)
    assert summary(home, run_id) == []


def test_a_long_series_is_cut(home: Home) -> None:
    page = rendered(report(home, recorded(home, frames=MOST_ROWS + 3)))
    assert page.words.count("… and 3 more rows") == 3


def test_the_log_has_one_line_a_result(home: Home) -> None:
    assert summary(home, recorded(home, amplifier="1")) == [
        "amplifier 1: gain 0.9700 ± 0.0040 e/ADU",
        "amplifier 1: read_noise 1.5000 ± 0.0040 e",
        "amplifier 1: read_noise_adu 2.5 ADU",
        "amplifier 1: bad_pixels 12 pixels",
        "master bias of 10: masters/plain.fits",
    ]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was handed to Prefect: (key, Markdown)."""
    made: list[tuple[str, str]] = []
    monkeypatch.setattr(artifacts, "create_markdown_artifact", lambda content, key, **_: made.append((key, content)))
    monkeypatch.setattr(artifacts, "create_table_artifact", lambda *_, **__: None)
    return made


@pytest.mark.parametrize("name", [one for one in HOSTILE if "\0" not in one])
def test_the_list_of_new_frames_is_harmless(home: Home, published: list[tuple[str, str]], name: str) -> None:
    recorded(home, name=name)
    publish_registration(home, since=NOON)
    ((key, content),) = published
    assert re.fullmatch("[a-z0-9-]+", key)
    assert {tag for tag, _ in rendered(content).tags} <= {"h1", "ul", "li", "strong"}
    assert "2 new frames" in content


def test_no_new_frames_are_no_news(home: Home, published: list[tuple[str, str]]) -> None:
    publish_registration(home, since=NOON)
    assert published == []


def test_the_key_of_a_report_is_one_that_prefect_takes(home: Home, published: list[tuple[str, str]]) -> None:
    artifacts.publish(home, recorded(home))
    ((key, _),) = published
    assert key == "report-m2-ml-bin1x1"
