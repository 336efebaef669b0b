"""The pages in a real browser: what they show is what is on record, and nothing they show does anything."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from db.trends import trends
from flows.home import Home, open_home
from tests.conftest import skip_or_fail
from tests.support.long_history import put_history
from tests.support.site import CHROMIUM, Visit, running_browser, running_site

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
    with home.sessions.begin() as session:
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
    with home.reading() as session:
        rows = trends(session, quantity="gain", instrument="red", amplifier="R")
    assert len(rows) == NIGHTS
    links = page.locator(".dots a").evaluate_all("dots => dots.map(dot => dot.getAttribute('href'))")
    assert links == [f"/measurements/{row.id}" for row in rows]
    said = page.locator(".dots a").nth(0).get_attribute("aria-label")
    assert said == (
        f"night 2020-01-01 · {rows[0].value:.4f} ± 0.0040 e⁻/ADU · 10 biases, 8 flats · run {rows[0].run_id} · ok"
    )


def test_higher_values_are_drawn_higher_and_later_ones_farther_right(visit: Visit, site: str, home: Home) -> None:
    page = visit.to(f"{site}/trends/read_noise?instrument=red&amplifier=L")
    boxes = page.locator(".dots a > :last-child").evaluate_all(
        "marks => marks.map(mark => { const b = mark.getBoundingClientRect(); return [b.x, b.y + b.height / 2]; })"
    )
    with home.reading() as session:
        values = [row.value for row in trends(session, quantity="read_noise", instrument="red", amplifier="L")]
    assert boxes == sorted(boxes)
    by_height = sorted(range(len(values)), key=lambda index: -boxes[index][1])
    assert [values[index] for index in by_height] == pytest.approx(sorted(values), abs=0.01)


def test_filters_work_as_a_plain_form(browser: Browser, site: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/trends/gain")
    assert page.locator("figure").count() == 2 * (1 + len(HOSTILE))
    page.locator("[name=instrument]").select_option("red")
    page.locator("[name=amplifier]").select_option("L")
    page.locator("[name=since]").fill("2020-02-01")
    page.get_by_role("button", name="Show").click()
    assert page.locator("figure").count() == 1
    assert page.locator(".dots a").count() == NIGHTS - 31
    assert page.locator("[name=since]").input_value() == "2020-02-01"
    context.close()


def test_pointing_tells_and_a_click_leads_to_the_measurement(visit: Visit, site: str) -> None:
    page = visit.to(f"{site}/trends/gain?instrument=red&amplifier=L")
    dot = page.locator(".dots a").nth(5)
    dot.locator("circle").hover()
    assert page.locator(".tip").inner_text() == dot.get_attribute("aria-label")
    assert dot.get_attribute("href") == "/measurements/11"


def test_the_keyboard_goes_through_the_points(visit: Visit, site: str) -> None:
    page = visit.to(f"{site}/trends/gain?instrument=red&amplifier=L")
    page.locator("svg.trend").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert page.locator(".tip").inner_text() == page.locator(".dots a").nth(NIGHTS - 2).get_attribute("aria-label")


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
