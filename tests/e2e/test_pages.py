"""The pages in a real browser: what they show is what is on record, and nothing they show does anything."""

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
import schemathesis
from astropy.nddata import CCDData
from astropy.table import QTable
from axe_playwright_python.sync_playwright import Axe
from hypothesis import HealthCheck, given, settings
from playwright.sync_api import Browser

from db.judgements.marks import bad_frames
from db.trends.history import trends
from flows.home.home import Home, open_home
from flows.judgements.editors import set_password
from tests.conftest import skip_or_fail
from tests.support.command import ccdwatch
from tests.support.long_history import put_history
from tests.support.on_record import add_frame
from tests.support.service import wait_for
from tests.support.simulate import simple_night
from tests.support.site import CHROMIUM, Visit, follow, running_browser, running_site

HOSTILE = ("<script>alert(1)</script>", "javascript:alert(2)", "\"'><img src=x onerror=alert(3)>")
NIGHTS = 60


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        skip_or_fail("browser", "no Chromium on this machine: install Debian's package chromium")
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = open_home(tmp_path_factory.mktemp("pages"))
    with home.write_session() as session:
        put_history(session, instruments=("red", *HOSTILE), amplifiers=("L", "R"), nights=NIGHTS)
    return home


@pytest.fixture(scope="module")
def site(home: Home) -> Iterator[str]:
    with running_site(home.path) as address:
        yield address


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    page = browser.new_page()
    page.set_default_timeout(30_000)
    visit = Visit(page)
    yield visit
    page.close()
    visit.went_well()


def test_the_plot_has_the_points_that_are_on_record(visit: Visit, site: str, home: Home) -> None:
    page = visit.to(f"{site}/trends/gain?instrument=red&amplifier=R")
    with home.read_session() as session:
        rows = trends(session, quantity="gain", instrument="red", amplifier="R")
    assert len(rows) == NIGHTS
    links = page.locator(".dots a").evaluate_all("dots => dots.map(dot => dot.getAttribute('href'))")
    assert links == [f"/measurements/{row.id}" for row in rows]
    said = page.locator(".dots a").nth(0).get_attribute("aria-label")
    assert said == (
        f"night 2020-01-01 · {rows[0].value:.4f} ± 0.0040 e⁻/ADU · 10 biases, 8 flats · run {rows[0].run_id} · ok"
    )


def test_only_names_of_this_machine_are_answered_to(site: str, tmp_path: Path) -> None:
    """A page from elsewhere whose name is made to lead here may not read ours."""

    def answer(address: str, host: str, path: str = "/api/health") -> int:
        return httpx.get(address + path, headers={"Host": host}).status_code

    port = site.rpartition(":")[2]
    for name in ("localhost", "127.0.0.1", "[::1]", "LOCALHOST"):
        assert answer(site, f"{name}:{port}") == 200
    for name in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "ccd.example", ""):
        assert [answer(site, name, path) for path in ("/", "/api/health", "/static/page.js")] == [400, 400, 400]
    (tmp_path / "ccdwatch.toml").write_text('[web]\npublic_url = "https://ccd.example/cameras"\n', encoding="utf-8")
    with running_site(tmp_path) as behind_a_proxy:
        assert answer(behind_a_proxy, "ccd.example") == 200
        assert answer(behind_a_proxy, "evil.example") == 400


def test_higher_values_are_drawn_higher_and_later_ones_farther_right(visit: Visit, site: str, home: Home) -> None:
    page = visit.to(f"{site}/trends/read_noise?instrument=red&amplifier=L")
    boxes = page.locator(".dots a > :last-child").evaluate_all(
        "marks => marks.map(mark => { const b = mark.getBoundingClientRect(); return [b.x, b.y + b.height / 2]; })"
    )
    with home.read_session() as session:
        values = [row.value for row in trends(session, quantity="read_noise", instrument="red", amplifier="L")]
    assert boxes == sorted(boxes)
    by_height = sorted(range(len(values)), key=lambda index: -boxes[index][1])
    assert [values[index] for index in by_height] == pytest.approx(sorted(values), abs=0.01)


def test_an_editor_marks_a_frame_in_a_browser(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "ccdwatch.toml").write_text("[web]\nallow_edits = true\n", encoding="utf-8")
    home = open_home(tmp_path)
    set_password(home.settings, "anna", "a password of anna")
    with home.write_session() as session:
        key = add_frame(session, "a")
    with running_site(tmp_path) as address:
        page = visit.to(f"{address}/frames/{key}")
        follow(page.get_by_role("link", name="mark it"))
        for name, value in (("why", "dome light"), ("name", "anna"), ("password", "a password of anna")):
            page.locator(f"[name={name}]").fill(value)
        follow(page.get_by_role("button", name="Mark it"))
        assert page.url == f"{address}/frames/{key}"
        said = page.locator("#judgements + .scroll tbody tr").inner_text()
    assert all(word in said for word in ("anna", "bad", "dome light"))
    with home.read_session() as session:
        assert bad_frames(session)


def test_filters_work_as_a_plain_form(browser: Browser, site: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/trends/gain")
    assert page.locator("figure").count() == 2 * (1 + len(HOSTILE))
    page.locator("[name=instrument]").select_option("red")
    page.locator("[name=amplifier]").select_option("L")
    page.locator("[name=since]").fill("2020-02-01")
    follow(page.get_by_role("button", name="Show"))
    assert page.locator("figure").count() == 1
    assert page.locator(".dots a").count() == NIGHTS - 31
    assert page.locator("[name=since]").input_value() == "2020-02-01"
    context.close()


def test_pointing_tells_and_a_click_leads_to_the_measurement(visit: Visit, site: str) -> None:
    page = visit.to(f"{site}/trends/gain?instrument=red&amplifier=L")
    dot = page.locator(".dots a").nth(5)
    dot.locator("circle").hover()
    assert page.locator(".tip").inner_text() == dot.get_attribute("aria-label")
    follow(dot.locator("circle"))
    assert page.locator("h1").inner_text() == "Gain of red, amplifier L"


@pytest.mark.parametrize("width", [390, 1400])
def test_limits_are_told_beside_the_plot_where_no_point_is(browser: Browser, site: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 1000})
    page = context.new_page()
    page.goto(f"{site}/trends/gain?instrument=red&amplifier=L")
    labels = [one.bounding_box() for one in page.locator("text.limit").all()]
    frame = page.locator("svg.trend .frame").bounding_box()
    context.close()
    assert frame is not None
    assert len(labels) == 2
    for box in labels:
        assert box is not None
        assert frame["x"] + frame["width"] < box["x"] < box["x"] + box["width"] <= width


def test_the_keyboard_goes_through_the_points(visit: Visit, site: str) -> None:
    page = visit.to(f"{site}/trends/gain?instrument=red&amplifier=L")
    page.locator("svg.trend").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert page.locator(".tip").inner_text() == page.locator(".dots a").nth(NIGHTS - 2).get_attribute("aria-label")


def test_a_step_is_marked_where_it_is(visit: Visit, site: str) -> None:
    page = visit.to(f"{site}/trends/gain?instrument=red&amplifier=R")
    line = page.locator("line.step")
    line.wait_for(state="attached")
    night = page.locator("table.changes td a").first.inner_text()
    (first,) = (dot for dot in page.locator(".dots a").all() if night in (dot.get_attribute("aria-label") or ""))
    places = line.get_attribute("x1"), first.locator("circle").get_attribute("cx")
    step, dot = (float((one or "").rstrip("%")) for one in places)
    assert step == pytest.approx(dot, abs=0.01)
    kind, by, _ = (page.locator("text.step").text_content() or "").split()
    assert (kind, float(by)) == ("step", pytest.approx(2.0, abs=0.3))


def test_dragging_looks_closer(visit: Visit, site: str) -> None:
    page = visit.to(f"{site}/trends/gain?instrument=red&amplifier=L")
    frame = page.locator("svg.trend .frame").bounding_box()
    assert frame is not None
    page.mouse.move(frame["x"] + 0.5 * frame["width"], frame["y"] + 20)
    page.mouse.down()
    page.mouse.move(frame["x"] + 0.7 * frame["width"], frame["y"] + 30, steps=4)
    page.mouse.up()
    page.wait_for_url("**since=*")
    assert 8 <= page.locator(".dots a").count() <= 16
    follow(page.get_by_role("link", name="All of time"))
    assert page.locator(".dots a").count() == NIGHTS
    assert "instrument=red&amplifier=L" in page.url


def test_cameras_are_compared_in_one_plot(visit: Visit, site: str) -> None:
    page = visit.to(f"{site}/trends/gain?amplifier=R")
    follow(page.get_by_role("link", name="Compare cameras"))
    assert page.locator("svg.trend").count() == 1
    assert page.locator(".dots a").count() == NIGHTS * (1 + len(HOSTILE))
    page.locator(f"[name=instrument][value='{HOSTILE[1]}']").uncheck()
    follow(page.get_by_role("button", name="Show"))
    assert page.locator(".dots a").count() == NIGHTS * len(HOSTILE)
    assert page.locator(".legend a").count() == len(HOSTILE)
    look = page.locator(".dots a").evaluate_all("dots => new Set(dots.map(dot => getComputedStyle(dot).fill)).size")
    assert look == len(HOSTILE)
    dot = page.locator(".dots a").first
    assert (dot.get_attribute("aria-label") or "").partition(" amplifier R")[0] in {"red", *HOSTILE}


def test_what_headers_say_is_text(visit: Visit, site: str) -> None:
    page = visit.to(site)
    shown = page.locator('[scope="rowgroup"]').all_inner_texts()
    assert sorted(shown) == sorted(["red", *HOSTILE])
    page = visit.to(f"{site}/trends/gain")
    assert all(name in page.locator("main").inner_text() for name in HOSTILE)
    addresses = page.locator("a").evaluate_all(
        "links => links.map(one => new URL(one.href.baseVal ?? one.href, location).protocol)"
    )
    assert set(addresses) == {"http:"}


def test_a_phone_needs_no_sideways_scrolling(browser: Browser, site: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740})
    page = context.new_page()
    for path in ("/", "/trends/gain?instrument=red"):
        page.goto(site + path)
        wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wider) == 0, path
    context.close()


# What a night of real work leaves


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The pages of a home with one processed night, one of its frames under a hostile name and filter."""
    folder = tmp_path_factory.mktemp("night")
    simple_night(folder / "frames", filter_name="<b onload=alert(4)>")
    next((folder / "frames").glob("flat*")).rename(folder / "frames" / "flat_<img src=x onerror=alert(5)>.fits")
    assert ccdwatch("process", folder / "frames", "--home", folder / "home").status == 0
    with running_site(folder / "home") as address:
        yield address


PAGES = {
    "/": "Overview",
    "/trends/gain": "Trend of the gain",
    "/trends/gain/changes": "Steps and drifts of the gain",
    "/instruments/testcam": "testcam",
    "/measurements/1": "Gain of testcam, amplifier 1",
    "/runs/1": "Run 1: testcam, 2022-09-19",
    "/masters/1": "Master bias of testcam, 2022-09-19",
    "/masters/2": "Master flat <b onload=alert(4)> of testcam, 2022-09-19",
    "/masters/2/view": "Master flat <b onload=alert(4)> of testcam, 2022-09-19",
    "/frames/1": "Frame 1: bias of testcam",
    "/frames/6": "Frame 6: flat of testcam",
    "/sets/1": "Set 1: testcam, 2022-09-19",
    "/frames": "Frames",
    "/masters": "Masters",
    "/runs": "Runs",
    "/health": "Health of the service",
    "/nights": "Night 2022-09-19",
    "/search?q=flat": "Search",
    "/trends/gain/compare": "Gain of several cameras",
}
WITH_HISTORY = ("/", "/trends/gain?log=true", "/trends/gain/changes")


def test_every_page_shows_and_every_link_leads_somewhere(visit: Visit, night: str) -> None:
    targets = set()
    for path, heading in PAGES.items():
        page = visit.to(night + path)
        assert page.locator("h1").inner_text() == heading
        page.wait_for_load_state("networkidle")
        assert page.locator("img").evaluate_all("all => all.every(one => !one.complete || one.naturalWidth > 0)")
        hrefs = page.locator("a").evaluate_all("all => all.map(one => one.href.baseVal ?? one.getAttribute('href'))")
        targets |= {urljoin(night + path, href).partition("#")[0] for href in hrefs}
    assert len(targets) > 40
    for target in sorted(targets):
        assert target.startswith(night), target
        assert httpx.get(target).status_code == 200, target


def test_pages_say_seconds_numbers_and_what_is_uncertain_as_they_are(night: str) -> None:
    texts = {path: httpx.get(night + path).text for path in ("/", "/runs/1", "/frames/1", "/sets/1", "/trends/gain")}
    assert "of 1 amplifier of 1 instrument<" in texts["/"]
    for path in ("/runs/1", "/frames/1", "/sets/1"):
        assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", texts[path]), path
    for path in ("/runs/1", "/trends/gain"):
        assert re.search(r"1\.\d+ ± 0\.\d+ \(statistical\) ± 0\.\d+ \(systematic\)", texts[path]), path


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 1400), ("light", 390)])
def test_rules_of_accessibility_are_kept(browser: Browser, night: str, site: str, scheme: Any, width: int) -> None:
    rules = Axe()
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 1000})
    page = context.new_page()
    faults = []
    for address in [night + path for path in PAGES] + [f"{site}{path}" for path in WITH_HISTORY]:
        page.goto(address)
        page.wait_for_load_state("networkidle")
        for fault in rules.run(page).response["violations"]:
            where = [node["target"][0] for node in fault["nodes"]][:3]
            faults.append(f"{address.partition('/')[2]} {fault['impact']}: {fault['help']} {where}")
    context.close()
    assert faults == []


_CUT = """() => [...document.querySelectorAll("main *, header *")].filter(one => {
  const style = getComputedStyle(one), box = one.getBoundingClientRect();
  if (one.closest("svg, .skip, .hidden, .graph-scroll") || !box.width) return false;
  const hides = ["hidden", "clip"].includes(style.overflowX) && one.scrollWidth > one.clientWidth + 1;
  return hides || box.right > innerWidth + 1;
}).map(one => `${one.tagName} ${one.className} ${one.textContent.trim().slice(0, 40)}`)"""

_WIDER = "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.textContent.slice(0, 80))"


@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_is_cut_off(browser: Browser, night: str, site: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 1000})
    page = context.new_page()
    for address in [night + path for path in PAGES] + [f"{site}{path}" for path in WITH_HISTORY]:
        page.goto(address)
        page.wait_for_load_state("networkidle")
        assert page.evaluate(_CUT) == [], address
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, address
        assert page.locator(".scroll").evaluate_all(_WIDER) == [], address
    context.close()


_SHADE = """([x, y]) => [
  ...document.querySelector("#viewer canvas").getContext("2d").getImageData(x, y, 1, 1).data]"""


def test_a_master_is_moved_enlarged_and_read_pixel_by_pixel(visit: Visit, night: str) -> None:
    page = visit.to(f"{night}/masters/1/view")
    canvas = page.locator("#viewer canvas")
    box = canvas.bounding_box()
    assert box is not None
    middle = [box["width"] // 2, box["height"] // 2]
    page.wait_for_load_state("networkidle")
    assert page.evaluate(_SHADE, middle)[3] == 255
    page.get_by_role("button", name="enlarge").click(click_count=6, delay=20)
    page.mouse.move(box["x"] + middle[0] + 3, box["y"] + middle[1] + 3)
    page.locator(".readout", has_text="not masked").wait_for()
    said = page.locator(".readout").inner_text()
    x, y = (int(one) for one in said.partition(")")[0][1:].split(","))
    pixel = httpx.get(f"{night}/masters/1/pixel?x={x}&y={y}").json()
    assert f"value {pixel['value']:.6g} ADU" in said
    assert f"{pixel['combined']} frames" in said
    page.wait_for_load_state("networkidle")
    canvas.focus()
    before = canvas.screenshot()
    for _ in range(3):
        page.keyboard.press("ArrowUp")
    assert wait_for(lambda: canvas.screenshot() != before, seconds=30)


def test_a_master_is_seen_without_javascript(browser: Browser, night: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{night}/masters/1/view")
    page.locator("[name=plane]").select_option("uncertainty")
    page.locator("[name=scale]").select_option("log")
    follow(page.get_by_role("button", name="Show"))
    assert "plane=uncertainty&scale=log" in page.url
    assert page.locator("#viewer img").get_attribute("alt") == "uncertainty of the master bias, whole"
    assert "black" in page.locator("figcaption").inner_text()
    address = page.locator("#viewer img").get_attribute("src")
    assert httpx.get(f"{night}{address}").headers["content-type"] == "image/png"
    context.close()


def test_provenance_is_drawn_from_frames_to_the_result(visit: Visit, night: str) -> None:
    page = visit.to(f"{night}/measurements/1")
    nodes = page.locator(".graph a")
    titles = nodes.locator(".title").all_text_contents()
    assert titles == ["gain", "run 1", "5 frames: bias", "4 frames: flat"]
    left = [(box := one.bounding_box()) and box["x"] for one in nodes.locator("rect").all()]
    assert left[2] == left[3] < left[1] < left[0]  # type: ignore[operator]
    assert page.locator(".graph path").count() == 3
    assert page.locator(".pictures img").count() == 1


def test_files_are_downloaded_as_they_are(night: str, tmp_path: Path) -> None:
    record = httpx.get(f"{night}/api/masters/1").json()
    content = httpx.get(f"{night}/masters/1/fits")
    assert sha256(content.content).hexdigest() == record["sha256"]
    assert content.headers["content-type"] == "application/fits"
    (tmp_path / "master.fits").write_bytes(content.content)
    assert CCDData.read(tmp_path / "master.fits").unit == "adu"
    frame = httpx.get(f"{night}/api/provenance/frame:1").json()
    assert sha256(httpx.get(f"{night}/frames/1/fits").content).hexdigest() == frame["files"][0]["file_sha256"]


@pytest.mark.parametrize(("name", "astropy_format"), [("ecsv", "ascii.ecsv"), ("votable", "votable")])
def test_downloads_read_back_with_units(site: str, name: str, astropy_format: str, tmp_path: Path) -> None:
    answer = httpx.get(f"{site}/api/trends/gain", params={"format": name, "instrument": "red"})
    path = tmp_path / "trend"
    path.write_bytes(answer.content)
    table = QTable.read(path, format=astropy_format)
    assert len(table) == 2 * NIGHTS
    assert table["value"].unit.to_string() == "electron / adu"
    rows = httpx.get(f"{site}/api/trends/gain?instrument=red").json()
    assert list(table["value"].value) == [row["value"] for row in rows]


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/measurements/999", 404, "measurement 999 is not on record"),
        ("/instruments/nobody", 404, "no instrument nobody is on record"),
        ("/trends/gain?since=yesterday", 422, "since = &#39;yesterday&#39;: should be a date or a time (UTC)"),
        ("/frames/1/fits/x", 404, "Not Found"),
        ("/runs/1/pictures/..%2f..%2fccdwatch.db", 404, "Not Found"),
    ],
)
def test_what_cannot_be_shown_is_said(site: str, path: str, status: int, words: str) -> None:
    answer = httpx.get(site + path)
    assert (answer.status_code, words in answer.text) == (status, True)


def test_nothing_is_allowed_that_the_pages_do_not_need(site: str) -> None:
    policy = httpx.get(site).headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert httpx.post(site).status_code == 405


def test_monitors_see_the_health_in_the_status(site: str) -> None:
    answer = httpx.get(f"{site}/health")
    assert answer.status_code == (200 if answer.json()["status"] == "ok" else 503)


# The API


def test_the_api_answers_as_it_says(night: str) -> None:
    schema = schemathesis.openapi.from_url(f"{night}/api/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 12
    for operation in operations:

        @settings(max_examples=8, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def answers_as_it_says(case: Any) -> None:
            case.call_and_validate()

        answers_as_it_says()
